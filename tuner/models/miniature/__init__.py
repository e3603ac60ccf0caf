"""The bundled miniature: a small Stable Diffusion that draws coloured shapes.

Its guidance is 3, not Stable Diffusion's 7.5: at 7.5 this small model is over-guided, so that its
baseline scores less than it could and settings that spoil the guidance gain. At 3 next to nothing
gains, and DeepCache and T-GATE have settings on both sides of a score loss of 2 %, as on large
models; ToMe has none over it (`python -m bench.quality.tradeoff`, docs/results/tradeoff.md).
"""

from pathlib import Path

from tuner.models import Model

_WEIGHTS = Path(__file__).parent / "weights"

component = Model(
    name="miniature",
    source=str(_WEIGHTS / "pipeline"),
    pipeline="StableDiffusionPipeline",
    resolution=64,
    guidance_scale=3.0,
    prompts="miniature",
    metric="clip",
    metric_options={"model": f"local-dir:{_WEIGHTS / 'scorer'}", "pretrained": ""},
    dtype={"cpu": "float32", "cuda": "float32", "mps": "float32"},
)
