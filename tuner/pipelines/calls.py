"""What a call of a pipeline will do, derived from the pipeline before the call."""

import copy
import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tuner.errors import UnfitError, UsageError
from tuner.formatting import listed
from tuner.pipelines.arguments import names_steps, steps_of
from tuner.pipelines.denoiser import denoiser_of

MOST_REQUESTED = 20  # times the steps that run, which are fewer with a low strength


def values_of(pipeline: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, completed with the defaults of the pipeline's call.

    A subclass that passes ``**kwargs`` to its base class has the defaults of that class as well.
    """
    defaults: dict[str, Any] = {}
    for cls in type(pipeline).__mro__:
        if "__call__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__call__"]).parameters.values()
        own = {p.name: p.default for p in parameters if p.default is not p.empty}
        defaults = own | defaults
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return defaults | dict(arguments)


def is_guided(pipeline: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether a call with these arguments makes a second pass, without the prompt, for guidance.

    This does not follow from `guidance_scale` alone: its default depends on the pipeline, and a
    model that takes the scale as an input (an LCM's U-Net, Flux) makes one pass at any scale.

    Args:
        pipeline: a diffusers pipeline.
        arguments: by name; the others have the pipeline's defaults.
    """
    values = values_of(pipeline, arguments)
    own = getattr(type(pipeline), "do_classifier_free_guidance", None)
    if isinstance(own, property) and own.fget is not None:
        try:
            return bool(own.fget(_AsCalled(pipeline, values)))
        except AttributeError:
            pass  # the property reads an attribute that exists only during a call
    if hasattr(denoiser_of(pipeline).config, "guidance_embeds"):
        names = ("negative_prompt", "negative_prompt_embeds")
        has_negative = any(values.get(name) is not None for name in names)
        return (values.get("true_cfg_scale") or 1) > 1 and has_negative
    return (values.get("guidance_scale") or 0) > 1


def check_guided(name: str, pipeline: Any, arguments: Mapping[str, Any]) -> None:
    """Check that a call makes a second pass for guidance.

    Args:
        name: of the accelerator that needs it, for the message.
        pipeline: a diffusers pipeline.
        arguments: as in `is_guided`.

    Raises:
        UnfitError: it makes none.
    """
    if is_guided(pipeline, arguments):
        return
    guidance = values_of(pipeline, arguments).get("guidance_scale") or 0
    if guidance <= 1:
        raise UnfitError(f"{name} needs guidance_scale above 1, not {guidance:g}")
    raise UnfitError(
        f"{name} needs guidance by a second pass, but {type(pipeline).__name__} makes one pass "
        f"only: its {type(denoiser_of(pipeline)).__name__} takes guidance_scale as an input"
    )


def steps_that_run(pipeline: Any, arguments: Mapping[str, Any]) -> int:
    """How many denoising steps a call with these arguments runs.

    This may differ from `num_inference_steps`: `timesteps` and `sigmas` list the steps themselves,
    `strength` and `denoising_start` skip the first ones, `denoising_end` the last.

    Args:
        pipeline: a diffusers pipeline.
        arguments: as in `is_guided`.

    Raises:
        UsageError: the arguments do not determine the number, or it is not a whole number from 1.
    """
    values = values_of(pipeline, arguments)
    if not names_steps(values):
        raise UsageError(
            f"this call of {type(pipeline).__name__} does not determine its number of steps; give "
            "num_inference_steps"
        )
    steps_of(values)
    scheduler = copy.deepcopy(pipeline.scheduler)
    _set_timesteps(scheduler, values)
    timesteps = scheduler.timesteps
    if values.get("strength") is not None and hasattr(pipeline, "get_timesteps"):
        timesteps = _remaining_timesteps(pipeline, scheduler, values)
    end = values.get("denoising_end")
    if isinstance(end, float) and 0 < end < 1:
        trained = scheduler.config.num_train_timesteps
        last = round(trained - end * trained)
        return sum(int(timestep) >= last for timestep in timesteps)
    return len(timesteps)


def steps_to_request(pipeline: Any, arguments: Mapping[str, Any], steps: int) -> int:
    """The `num_inference_steps` with which a call runs `steps` denoising steps.

    Args:
        pipeline: a diffusers pipeline.
        arguments: as in `is_guided`; their own number of steps does not matter.
        steps: at least 1.

    Raises:
        UsageError: no number does, as where the call lists its timesteps.
    """
    for number in range(steps, MOST_REQUESTED * steps + 1):
        runs = steps_that_run(pipeline, {**arguments, "num_inference_steps": number})
        if runs == steps:
            return number
        if runs > steps:
            break
    raise UsageError(
        f"this call of {type(pipeline).__name__} cannot run exactly {steps} steps"
        f"{_why_not(pipeline, arguments)}"
    )


def _why_not(pipeline: Any, arguments: Mapping[str, Any]) -> str:
    """Why a call cannot run some number of steps, and what would; the end of a message."""
    values = values_of(pipeline, arguments)
    for name in ("timesteps", "sigmas"):
        if values.get(name) is not None:
            return f", because {name} lists its steps; give num_inference_steps instead"
    parts = ("strength", "denoising_start", "denoising_end")
    partial = [f"{name} {values[name]:g}" for name in parts if values.get(name) is not None]
    cause = listed(partial) or type(pipeline.scheduler).__name__
    return f" with {cause}; choose another number of steps"


def pictures_requested(pipeline: Any, arguments: Mapping[str, Any]) -> int | None:
    """How many pictures a call draws; None if it has no prompts. Arguments as in `is_guided`."""
    values = values_of(pipeline, arguments)
    prompts = values.get("prompt")
    if prompts is None:
        prompts = values.get("prompt_embeds")
    if prompts is None:
        return None
    count = 1 if isinstance(prompts, str) else len(prompts)
    return count * int(values.get("num_images_per_prompt") or 1)


class _AsCalled:
    """A pipeline as in the middle of a call: its properties can read the call's arguments."""

    def __init__(self, pipeline: Any, values: dict[str, Any]) -> None:
        self._pipeline = pipeline
        for name, value in values.items():
            vars(self)[name] = vars(self)[f"_{name}"] = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


def _set_timesteps(scheduler: Any, values: dict[str, Any]) -> None:
    """Set a scheduler's timesteps as diffusers' `retrieve_timesteps` does.

    If the scheduler refuses the values, it gets as many timesteps all the same: the call itself
    will raise the error.
    """
    listed = [name for name in ("timesteps", "sigmas") if values.get(name) is not None]
    count = values.get("num_inference_steps")
    options = {name: values[name] for name in listed[:1]} or {"num_inference_steps": count}
    if getattr(scheduler.config, "use_dynamic_shifting", False):
        options["mu"] = 1.0  # it shifts the steps and does not change their number
    if listed or count is not None:
        try:
            scheduler.set_timesteps(**options)
        except (TypeError, ValueError):
            scheduler.timesteps = values[listed[0]] if listed else range(count or 0)


def _remaining_timesteps(pipeline: Any, scheduler: Any, values: dict[str, Any]) -> Any:
    """The timesteps that remain with `strength` or `denoising_start`, by the pipeline's rule."""
    own = type(pipeline).get_timesteps
    start = values.get("denoising_start")
    options = {
        "num_inference_steps": len(scheduler.timesteps),
        "timesteps": scheduler.timesteps,
        "strength": values["strength"],
        "device": None,
        "denoising_start": start if isinstance(start, float) and 0 < start < 1 else None,
    }
    accepted = {
        name: options[name] for name in inspect.signature(own).parameters if name in options
    }
    return own(SimpleNamespace(scheduler=scheduler), **accepted)[0]
