"""The contract of a model; each file (or sub-package) beside this one is one."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model family: where its weights are, and what people use with it."""

    name: str
    source: str  # hub id or folder
    pipeline: str  # the diffusers class
    resolution: int  # pixels, both sides
    guidance_scale: float
    prompts: str  # the prompt set that a study uses unless it names another
    metric: str
    accelerators: tuple[str, ...] = (
        "deepcache",
        "tome",
        "tgate",
    )  # a study's, unless it names others
    metric_options: dict[str, str] = field(default_factory=dict)
    dtype: dict[str, str] = field(
        default_factory=lambda: {"cpu": "float32", "cuda": "float16", "mps": "float16"}
    )
