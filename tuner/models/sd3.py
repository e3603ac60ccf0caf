"""Stable Diffusion 3 Medium: a flow-matching transformer with classifier-free guidance."""

from tuner.models import Model

component = Model(
    name="SD3",
    source="stabilityai/stable-diffusion-3-medium-diffusers",
    pipeline="StableDiffusion3Pipeline",
    resolution=1024,
    guidance_scale=7.0,
    prompts="coco",
    metric="clip",
    scheduler="FlowMatchEuler",
    accelerators=("fastercache", "fbcache", "taylorseer"),
)
