"""The bundled miniature: a small Stable Diffusion that draws coloured shapes."""

from pathlib import Path

from tuner.models import Model

_WEIGHTS = Path(__file__).parent / "weights"

component = Model(
    name="miniature",
    source=str(_WEIGHTS / "pipeline"),
    pipeline="StableDiffusionPipeline",
    resolution=64,
    guidance_scale=7.5,
    prompts="miniature",
    metric="clip",
    metric_options={"model": f"local-dir:{_WEIGHTS / 'scorer'}", "pretrained": ""},
    dtype={"cpu": "float32", "cuda": "float32", "mps": "float32"},
)
