"""The contract of a model; each other file (or sub-package) of this folder is one model."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: where its weights are, and the defaults of a study of it."""

    name: str
    source: str  # hub id or folder
    pipeline: str  # name of the diffusers class
    resolution: int  # pixels, of width and height
    guidance_scale: float
    prompts: str  # name of the prompt set
    metric: str  # name of the metric that gives the score
    scheduler: str = "DDIM"  # name in `tuner.scheduler_table`
    accelerators: tuple[str, ...] = ("deepcache", "tome", "tgate")
    # Width of the prompt's embedding, which tells the models of one pipeline class apart.
    cross_attention_dim: int | None = None
    metric_options: dict[str, str] = field(default_factory=dict)
    dtype: dict[str, str] = field(  # by type of device
        default_factory=lambda: {"cpu": "float32", "cuda": "float16", "mps": "float16"}
    )
