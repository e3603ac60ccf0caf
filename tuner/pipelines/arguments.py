"""Reading the arguments of a pipeline's call."""

import operator
from collections.abc import Mapping
from inspect import BoundArguments
from typing import Any

from tuner.errors import UsageError
from tuner.pipelines.gate import detached
from tuner.size import Size

_CALLBACKS = ("callback", "callback_on_step_end")


def names_steps(arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments determine the number of steps, with a valid value or not."""
    return any(name in arguments for name in ("num_inference_steps", "timesteps", "sigmas"))


def steps_of(arguments: Mapping[str, Any]) -> int:
    """How many steps a call requests; `timesteps` or `sigmas` override `num_inference_steps`.

    Args:
        arguments: by name, with the defaults.

    Raises:
        UsageError: the number is not a whole number from 1.
    """
    for name in ("timesteps", "sigmas"):
        if arguments.get(name) is not None:
            return len(arguments[name])
    value = arguments.get("num_inference_steps")
    try:
        steps = 0 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        steps = 0
    if steps < 1:
        raise UsageError(
            f"num_inference_steps must be a whole number of at least 1, not {value!r}, if the call "
            "has neither timesteps nor sigmas"
        )
    return steps


def guidance_of(arguments: Mapping[str, Any]) -> float | None:
    """The guidance scale of a call; None if its pipeline has none."""
    scale = arguments.get("guidance_scale")
    return None if scale is None else float(scale)


def negative_prompt_of(arguments: Mapping[str, Any]) -> str | None:
    """The negative prompt of all of a call's prompts: '' if none; None if they have several."""
    value = arguments.get("negative_prompt") or ""
    texts = [value] if isinstance(value, str) else list(dict.fromkeys(value))
    return texts[0] if len(texts) == 1 else None


def size_of(pipeline: Any, denoiser: Any, arguments: Mapping[str, Any]) -> Size | None:
    """The size of a call's pictures; None if it cannot be known beforehand.

    The default of height and width is the size that the denoiser was trained on, as in diffusers.

    Args:
        pipeline: a diffusers pipeline.
        denoiser: its denoiser.
        arguments: by name, with the defaults.
    """
    if "height" not in arguments or "width" not in arguments:
        return None  # the size is that of an input picture
    side = getattr(pipeline, "default_sample_size", None) or denoiser.config.get("sample_size")
    scale = getattr(pipeline, "vae_scale_factor", None)
    sides = side if isinstance(side, tuple | list) else (side, side)
    size = []
    for name, default in zip(("height", "width"), sides, strict=True):
        pixels = arguments[name]
        if not pixels:
            if default is None or scale is None:
                return None
            pixels = default * scale
        size.append(int(pixels))
    return Size(*size)


def has_callback(arguments: Mapping[str, Any]) -> bool:
    """Whether a call with these arguments runs a callback of the user's between its steps."""
    return any(callable(arguments.get(name)) for name in _CALLBACKS)


def named(bound: BoundArguments) -> dict[str, Any]:
    """A call's arguments by name: those that have a name, and the contents of ``**kwargs``."""
    arguments = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            arguments.pop(parameter.name, None)
        elif parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name, {})
    return arguments


def detach_callbacks(bound: BoundArguments) -> None:
    """Wrap the user's callbacks so that what they run is not accelerated; see `detached`."""
    for arguments in (bound.arguments, *_keyword_dicts(bound)):
        for name in _CALLBACKS:
            if callable(arguments.get(name)):
                arguments[name] = _detached_callback(arguments[name])


def _keyword_dicts(bound: BoundArguments) -> list[dict[str, Any]]:
    """The contents of ``**kwargs``, if there are any."""
    parameters = bound.signature.parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD]
    return [bound.arguments[name] for name in names if name in bound.arguments]


def _detached_callback(callback: Any) -> Any:
    from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

    if not isinstance(callback, PipelineCallback | MultiPipelineCallbacks):
        return detached(callback)

    class Detached(PipelineCallback):  # type: ignore[misc]
        """A callback of diffusers' class, which names the tensors that it needs."""

        def __init__(self) -> None:
            self.tensor_inputs = callback.tensor_inputs

        tensor_inputs = ()
        __call__ = staticmethod(detached(callback))

    return Detached()
