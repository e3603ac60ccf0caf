"""The schedulers by the names that people type."""

from typing import Any

from tuner import registry

SCHEDULERS = {
    "DDIM": "DDIMScheduler",
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
}


def name_of(text: str) -> str:
    """The scheduler's usual spelling; a `UsageError` lists the known ones."""
    found: str = registry.pick("scheduler", text, {name: name for name in SCHEDULERS})
    return found


def set_scheduler(pipeline: Any, name: str) -> None:
    """Give the pipeline this scheduler, with the noise schedule that its model was trained on."""
    import diffusers

    kind = getattr(diffusers, SCHEDULERS[name_of(name)])
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
