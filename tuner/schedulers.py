"""The schedulers under the names that people type."""

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
    """The name in `SCHEDULERS` of a scheduler, from that name or from its diffusers class.

    Case and punctuation do not matter.

    Raises:
        UsageError: the scheduler is unknown; the message lists the names.
    """
    by_class = {registry.plain(kind): name for name, kind in SCHEDULERS.items()}
    usual = by_class.get(registry.plain(text), text)
    name: str = registry.pick("scheduler", usual, {name: name for name in SCHEDULERS})
    return name


def set_scheduler(pipeline: Any, name: str) -> None:
    """Give the pipeline this scheduler, with the noise schedule that its model was trained on.

    Raises:
        UsageError: the scheduler is unknown, or the model is a flow-matching model and the
            scheduler is not one for flow matching, or the reverse.
    """
    import diffusers

    name = name_of(name)
    is_flow = type(pipeline.scheduler).__name__.startswith("FlowMatch")
    fitting = [key for key, kind in SCHEDULERS.items() if kind.startswith("FlowMatch") == is_flow]
    if name not in fitting:
        raise UsageError(
            f"{name} does not fit this {type(pipeline).__name__}, which was "
            f"{'' if is_flow else 'not '}trained by flow matching; use {' or '.join(fitting)}",
            key=("sched",),
        )
    kind = getattr(diffusers, SCHEDULERS[name])
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)


def check_steps(scheduler: Any, steps: int) -> None:
    """Refuse a number of steps that a scheduler cannot run.

    A scheduler cannot run more steps than the model was trained with. Some numbers close to that
    maximum fail as well: the scheduler lists a timestep that does not exist, or lists one twice and
    then divides by zero. With "trailing" timesteps and a few numbers it runs one step too many.

    Raises:
        UsageError: the number does not work; the message names the next lower one that does.
    """
    trained = int(scheduler.config.num_train_timesteps)
    if steps <= trained and _runs(scheduler, steps):
        return
    fewer = range(min(steps - 1, trained), 0, -1)
    works = next((number for number in fewer if _runs(scheduler, number)), 1)
    raise UsageError(
        f"{type(scheduler).__name__} cannot run exactly {steps} steps on this model; the nearest "
        f"lower number that works is {works}",
        key=("steps",),
    )


def _runs(scheduler: Any, steps: int) -> bool:
    """Whether a scheduler runs exactly this number of steps, tried on a latent of one value."""
    import torch

    if type(scheduler).__name__.startswith("FlowMatch"):
        return True  # it divides the path from noise to picture into any number of steps
    trial = type(scheduler).from_config(scheduler.config)
    sample = torch.zeros(1, 1, 1, 1)
    try:
        trial.set_timesteps(steps)
        for timestep in trial.timesteps:
            noise = torch.full_like(sample, 0.1)
            sample = trial.step(noise, timestep, sample, return_dict=False)[0]
    except (ValueError, IndexError, AssertionError):
        return False
    return len(trial.timesteps) == steps and bool(torch.isfinite(sample).all())
