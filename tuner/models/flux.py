"""FLUX.1-dev: a flow-matching transformer whose guidance is an input and needs no second pass."""

from tuner.models import Model

component = Model(
    name="Flux",
    source="black-forest-labs/FLUX.1-dev",
    pipeline="FluxPipeline",
    resolution=1024,
    guidance_scale=3.5,
    prompts="coco",
    metric="clip",
    scheduler="FlowMatchEuler",
    accelerators=("magcache", "fbcache", "taylorseer"),
    dtype={"cpu": "float32", "cuda": "bfloat16", "mps": "bfloat16"},
)
