"""Stable Diffusion 1.5."""

from tuner.models import Model

component = Model(
    name="SD1.5",
    source="stable-diffusion-v1-5/stable-diffusion-v1-5",
    pipeline="StableDiffusionPipeline",
    resolution=512,
    guidance_scale=7.5,
    prompts="coco",
    metric="clip",
    cross_attention_dim=768,
)
