"""The bundled miniature: a small Stable Diffusion that draws coloured shapes.

Its guidance scale is 3, not Stable Diffusion's 7.5. At 7.5 this small model is over-guided: the
baseline scores lower than it could, and settings that weaken the guidance raise the score. At 3
hardly any setting does so. DeepCache and T-GATE then have settings with a score loss below 2% and
above it, as on large models; ToMe has none above (`python -m bench.quality.tradeoff`,
docs/results/tradeoff.md).
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
    cross_attention_dim=64,
    metric_options={"model": f"local-dir:{_WEIGHTS / 'scorer'}", "pretrained": ""},
    dtype={"cpu": "float32", "cuda": "float32", "mps": "float32"},
)
