"""The schedulers by the names that people type."""

from typing import Any

from tuner import registry
from tuner.errors import UsageError

SCHEDULERS = {
    "DDIM": "DDIMScheduler",
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
    "FlowMatchEuler": "FlowMatchEulerDiscreteScheduler",
}


def name_of(text: str) -> str:
    """The scheduler's usual spelling; a `UsageError` lists the known ones."""
    found: str = registry.pick("scheduler", text, {name: name for name in SCHEDULERS})
    return found


def set_scheduler(pipeline: Any, name: str) -> None:
    """Give the pipeline this scheduler, with the noise schedule that its model was trained on.

    Raises `UsageError` where a model of flows is to be drawn with diffusion's schedulers, or one of
    diffusion with those of flows.
    """
    import diffusers

    name = name_of(name)
    flows = [one for one, kind in SCHEDULERS.items() if kind.startswith("FlowMatch")]
    is_flow = type(pipeline.scheduler).__name__.startswith("FlowMatch")
    if (name in flows) != is_flow:
        fitting = [one for one in SCHEDULERS if (one in flows) == is_flow]
        raise UsageError(
            f"{name} does not fit the noise of this {type(pipeline).__name__}; "
            f"use {' or '.join(fitting)}"
        )
    kind = getattr(diffusers, SCHEDULERS[name])
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
