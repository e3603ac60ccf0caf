"""Stable Diffusion XL, the base model."""

from tuner.models import Model

component = Model(
    name="SDXL",
    source="stabilityai/stable-diffusion-xl-base-1.0",
    pipeline="StableDiffusionXLPipeline",
    resolution=1024,
    guidance_scale=5.0,
    prompts="coco",
    metric="clip",
)
