"""What a call of a pipeline will do, asked of the pipeline itself before it does it."""

import copy
import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tuner.errors import UnfitError, UsageError
from tuner.pipelines.arguments import steps_of, tells_steps
from tuner.pipelines.denoiser import denoiser_of


def values_of(pipeline: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the pipeline's defaults for those that are not given.

    A subclass that hands ``**kwargs`` on to the class above it has the defaults of that as well.
    """
    defaults: dict[str, Any] = {}
    for one in type(pipeline).__mro__:
        if "__call__" not in vars(one):
            continue
        known = inspect.signature(vars(one)["__call__"]).parameters.values()
        own = {one.name: one.default for one in known if one.default is not one.empty}
        defaults = own | defaults
        if not any(one.kind is one.VAR_KEYWORD for one in known):
            break
    return defaults | dict(arguments)


def is_guided(pipeline: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether a call with these arguments makes a second pass, without the prompt, for guidance.

    That does not follow from `guidance_scale` alone: its default is the pipeline's own, and a model
    that takes the scale as an input (an LCM's U-Net, Flux) makes one pass whatever it is.

    Args:
        pipeline: a diffusers pipeline.
        arguments: those that are given, by name; the pipeline's defaults stand for the others.
    """
    values = values_of(pipeline, arguments)
    own = getattr(type(pipeline), "do_classifier_free_guidance", None)
    if isinstance(own, property) and own.fget is not None:
        try:
            return bool(own.fget(_AsCalled(pipeline, values)))
        except AttributeError:
            pass  # it asks for something that only the running call knows
    if hasattr(denoiser_of(pipeline).config, "guidance_embeds"):
        negative = (values.get(name) for name in ("negative_prompt", "negative_prompt_embeds"))
        return (values.get("true_cfg_scale") or 1) > 1 and any(one is not None for one in negative)
    return (values.get("guidance_scale") or 0) > 1


def check_guided(name: str, pipeline: Any, arguments: Mapping[str, Any]) -> None:
    """Raise `UnfitError` where a call makes no second pass for guidance."""
    if is_guided(pipeline, arguments):
        return
    guidance = values_of(pipeline, arguments).get("guidance_scale") or 0
    if guidance <= 1:
        raise UnfitError(f"{name} needs guidance_scale above 1, not {guidance:g}")
    raise UnfitError(
        f"{name} needs guidance by a second pass, and {type(pipeline).__name__} makes none with "
        f"this {type(denoiser_of(pipeline)).__name__}, which takes guidance_scale as an input"
    )


def steps_that_run(pipeline: Any, arguments: Mapping[str, Any]) -> int:
    """How many denoising steps a call with these arguments runs.

    Not always `num_inference_steps`: `timesteps` and `sigmas` name the steps themselves, `strength`
    and `denoising_start` leave out the first ones, `denoising_end` the last. The arguments are
    those of `is_guided`. Raises `UsageError` where they name no whole number of steps.
    """
    values = values_of(pipeline, arguments)
    if not tells_steps(values):
        raise UsageError(
            f"how many steps this call of {type(pipeline).__name__} runs is not known beforehand; "
            "give num_inference_steps"
        )
    steps_of(values)
    scheduler = copy.deepcopy(pipeline.scheduler)
    _set_timesteps(scheduler, values)
    timesteps = scheduler.timesteps
    if values.get("strength") is not None and hasattr(pipeline, "get_timesteps"):
        timesteps = _later_ones(pipeline, scheduler, values)
    end = values.get("denoising_end")
    if isinstance(end, float) and 0 < end < 1:
        trained = scheduler.config.num_train_timesteps
        last = round(trained - end * trained)
        return sum(int(one) >= last for one in timesteps)
    return len(timesteps)


def pictures_asked(pipeline: Any, arguments: Mapping[str, Any]) -> int | None:
    """How many pictures a call draws; None where its prompts do not tell."""
    values = values_of(pipeline, arguments)
    prompts = values.get("prompt")
    if prompts is None:
        prompts = values.get("prompt_embeds")
    if prompts is None:
        return None
    count = 1 if isinstance(prompts, str) else len(prompts)
    return count * int(values.get("num_images_per_prompt") or 1)


class _AsCalled:
    """A pipeline as it is in the middle of a call, for its properties that read the arguments."""

    def __init__(self, pipeline: Any, values: dict[str, Any]) -> None:
        self._pipeline = pipeline
        for name, value in values.items():
            vars(self)[name] = vars(self)[f"_{name}"] = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


def _set_timesteps(scheduler: Any, values: dict[str, Any]) -> None:
    """As diffusers' `retrieve_timesteps`; what the scheduler refuses is left to the call itself."""
    named = [name for name in ("timesteps", "sigmas") if values.get(name) is not None]
    count = values.get("num_inference_steps")
    places = {name: values[name] for name in named[:1]} or {"num_inference_steps": count}
    if getattr(scheduler.config, "use_dynamic_shifting", False):
        places["mu"] = 1.0  # it moves the steps, and their number stays
    if named or count is not None:
        try:
            scheduler.set_timesteps(**places)
        except (TypeError, ValueError):
            scheduler.timesteps = values[named[0]] if named else range(count or 0)


def _later_ones(pipeline: Any, scheduler: Any, values: dict[str, Any]) -> Any:
    """The timesteps that `strength` leaves, or `denoising_start`, by the pipeline's own rule."""
    own = type(pipeline).get_timesteps
    start = values.get("denoising_start")
    known = {
        "num_inference_steps": len(scheduler.timesteps),
        "timesteps": scheduler.timesteps,
        "strength": values["strength"],
        "device": None,
        "denoising_start": start if isinstance(start, float) and 0 < start < 1 else None,
    }
    taken = [name for name in inspect.signature(own).parameters if name in known]
    return own(SimpleNamespace(scheduler=scheduler), **{name: known[name] for name in taken})[0]
