"""PixArt-Σ at 1024 pixels: a diffusion transformer with T5 as its text encoder."""

from tuner.models import Model

component = Model(
    name="PixArt-Sigma",
    source="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
    pipeline="PixArtSigmaPipeline",
    resolution=1024,
    guidance_scale=4.5,
    prompts="coco",
    metric="clip",
    accelerators=("tome", "tgate"),  # DeepCache needs a U-Net
)
