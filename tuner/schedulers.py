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
    """The usual name of a scheduler that is given by it or by its diffusers class.

    Case and punctuation do not matter. A `UsageError` lists the usual names.
    """
    by_class = {registry.plain(kind): name for name, kind in SCHEDULERS.items()}
    usual = by_class.get(registry.plain(text), text)
    found: str = registry.pick("scheduler", usual, {name: name for name in SCHEDULERS})
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


def check_steps(scheduler: Any, steps: int) -> None:
    """Refuse a number of steps that a scheduler cannot take; the error names one that it can.

    It cannot take more than the model was trained with. Of the numbers at the upper end some make
    it name a step that does not exist, or one twice, and divide by zero; and with "trailing"
    timesteps it takes one step more than a few numbers say.
    """
    trained = int(scheduler.config.num_train_timesteps)
    if steps <= trained and _runs(scheduler, steps):
        return
    fewer = range(min(steps - 1, trained), 0, -1)
    works = next((one for one in fewer if _runs(scheduler, one)), 1)
    raise UsageError(
        f"{type(scheduler).__name__} cannot take exactly {steps} steps on this model; the nearest "
        f"number below that it can is {works}"
    )


def _runs(scheduler: Any, steps: int) -> bool:
    """Whether a scheduler goes through so many steps; tried on a picture of one number."""
    import torch

    if type(scheduler).__name__.startswith("FlowMatch"):
        return True  # it divides the way from noise to picture into any number of steps
    tried = type(scheduler).from_config(scheduler.config)
    sample = torch.zeros(1, 1, 1, 1)
    try:
        tried.set_timesteps(steps)
        for timestep in tried.timesteps:
            noise = torch.full_like(sample, 0.1)
            sample = tried.step(noise, timestep, sample, return_dict=False)[0]
    except (ValueError, IndexError, AssertionError):
        return False
    return len(tried.timesteps) == steps and bool(torch.isfinite(sample).all())
