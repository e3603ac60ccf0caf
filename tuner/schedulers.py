"""Giving a pipeline a scheduler, and whether a scheduler can do what is asked of it."""

import copy
from collections.abc import Mapping
from typing import Any

from tuner.errors import UsageError
from tuner.formatting import listed
from tuner.scheduler_table import SCHEDULERS, name_of


def set_scheduler(pipeline: Any, name: str, config: Mapping[str, Any] | None = None) -> None:
    """Give the pipeline this scheduler, with the noise schedule that its model was trained on.

    Args:
        pipeline: a diffusers pipeline.
        name: any usual name of the scheduler, or its class in diffusers.
        config: the configuration of the scheduler with which the model came; that of the current
            scheduler when None. Options such as `use_karras_sigmas` are taken over from it.

    Raises:
        UsageError: the scheduler is unknown or does not fit the model; or its steps add noise, and
            the pipeline does not draw that from the call's generators.
    """
    import diffusers

    name = name_of(name)
    row = SCHEDULERS[name]
    _check_fit(pipeline, name)
    source = pipeline.scheduler.config if config is None else config
    pipeline.scheduler = getattr(diffusers, row.kind).from_config(source, **row.options)


def has_options(scheduler: Any, options: Mapping[str, Any]) -> bool:
    """Whether a scheduler is configured with these options."""
    return all(scheduler.config.get(name) == value for name, value in options.items())


def name_of_scheduler(scheduler: Any) -> str:
    """The name in the table of a pipeline's scheduler: that of its class and options.

    Raises:
        UsageError: the table has no such class.
    """
    return _name_in_table(scheduler) or name_of(type(scheduler).__name__)


def keep_scheduler(pipeline: Any, scheduler: Any, name: str) -> bool:
    """Give the pipeline a copy of its own scheduler if that has this name; whether it has.

    Raises:
        UsageError: its steps add noise that the pipeline does not draw from the call's generators.
    """
    if _name_in_table(scheduler) != name:
        return False
    if SCHEDULERS[name].is_random and not _draws_noise(pipeline):
        raise UsageError(
            f"{_without_generators(pipeline, name)}; choose another scheduler", key=("sched",)
        )
    pipeline.scheduler = copy.deepcopy(scheduler)
    return True


def _name_in_table(scheduler: Any) -> str | None:
    rows = [
        (len(row.options), name)
        for name, row in SCHEDULERS.items()
        if row.kind == type(scheduler).__name__ and has_options(scheduler, row.options)
    ]
    return max(rows)[1] if rows else None


def _draws_noise(pipeline: Any) -> bool:
    """Whether the pipeline gives the generators of a call to each step of the scheduler."""
    return hasattr(pipeline, "prepare_extra_step_kwargs")


def _without_generators(pipeline: Any, name: str) -> str:
    return (
        f"the steps of {name} add noise, which {type(pipeline).__name__} draws without the "
        "generator of each prompt, so that no picture could be reproduced"
    )


def _check_fit(pipeline: Any, name: str) -> None:
    """Raise `UsageError` if a scheduler does not fit how the model was trained, or the pipeline."""
    trained = _training_of(pipeline.scheduler)
    of_training = [
        key for key, row in SCHEDULERS.items() if _training_of_class(row.kind) == trained
    ]
    draws_noise = _draws_noise(pipeline)
    fitting = [key for key in of_training if draws_noise or not SCHEDULERS[key].is_random]
    if not fitting:
        raise UsageError(
            f"{name} does not fit this {type(pipeline).__name__}, whose "
            f"{type(pipeline.scheduler).__name__} has a noise schedule of its own, and no other "
            "scheduler can replace it",
            key=("sched",),
        )
    if name in of_training and name not in fitting:
        raise UsageError(
            f"{_without_generators(pipeline, name)}; use {listed(fitting, 'or')}",
            key=("sched",),
        )
    if name not in fitting:
        ways = {"flow": "by flow matching", "EDM": "as an EDM"}
        way = ways.get(trained, "with a noise schedule of betas")
        raise UsageError(
            f"{name} does not fit this {type(pipeline).__name__}, which was trained {way}; use "
            f"{listed(fitting, 'or')}",
            key=("sched",),
        )


def _training_of(scheduler: Any) -> str:
    """How the model of a scheduler was trained: 'flow', 'EDM', 'betas' or 'unknown'."""
    trained = _training_of_class(type(scheduler).__name__)
    if trained == "betas" and "beta_schedule" not in scheduler.config:
        return "unknown"
    return trained


def _training_of_class(kind: str) -> str:
    if kind.startswith("FlowMatch"):
        return "flow"
    return "EDM" if kind.startswith("EDM") else "betas"


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
            trial.scale_model_input(sample, timestep)  # some count their steps from here
            sample = trial.step(noise, timestep, sample, return_dict=False)[0]
    except (ValueError, IndexError, AssertionError, TypeError):
        return False
    return len(trial.timesteps) == steps and bool(torch.isfinite(sample).all())
