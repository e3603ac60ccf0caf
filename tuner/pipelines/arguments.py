"""What the arguments of a pipeline's call say."""

import operator
from collections.abc import Mapping
from inspect import BoundArguments
from typing import Any

from tuner.errors import UsageError
from tuner.pipelines.gate import aside

_CALLBACKS = ("callback", "callback_on_step_end")


def tells_steps(arguments: Mapping[str, Any]) -> bool:
    """Whether a call says itself how many steps it takes, rightly or wrongly."""
    return any(name in arguments for name in ("num_inference_steps", "timesteps", "sigmas"))


def steps_of(arguments: Mapping[str, Any]) -> int:
    """How many steps a call asks for: its own timesteps or sigmas count before the number.

    Args:
        arguments: by their names, with the defaults.

    Raises:
        UsageError: they name no whole number of steps.
    """
    for name in ("timesteps", "sigmas"):
        if arguments.get(name) is not None:
            return len(arguments[name])
    asked = arguments.get("num_inference_steps")
    try:
        steps = 0 if isinstance(asked, bool) else operator.index(asked)  # type: ignore[arg-type]
    except TypeError:
        steps = 0
    if steps < 1:
        raise UsageError(
            f"num_inference_steps must be a whole number from 1, not {asked!r}, where the call "
            "gives neither timesteps nor sigmas"
        )
    return steps


def guidance_of(arguments: Mapping[str, Any]) -> float | None:
    """The guidance of a call; None where its pipeline has none."""
    found = arguments.get("guidance_scale")
    return None if found is None else float(found)


def size_of(pipeline: Any, denoiser: Any, arguments: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of a call's pictures in pixels; None where only the pipeline knows.

    What a call leaves out is what the denoiser was trained on, as in diffusers' pipelines.
    """
    if "height" not in arguments or "width" not in arguments:
        return None  # the size is that of a picture that the call is given
    side = getattr(pipeline, "default_sample_size", None) or denoiser.config.get("sample_size")
    scale = getattr(pipeline, "vae_scale_factor", None)
    sides = side if isinstance(side, tuple | list) else (side, side)
    found = []
    for name, default in zip(("height", "width"), sides, strict=True):
        pixels = arguments[name]
        if not pixels:
            if default is None or scale is None:
                return None
            pixels = default * scale
        found.append(int(pixels))
    return found[0], found[1]


def has_callback(arguments: Mapping[str, Any]) -> bool:
    """Whether a call with these arguments calls somebody between its steps."""
    return any(callable(arguments.get(name)) for name in _CALLBACKS)


def named(bound: BoundArguments) -> dict[str, Any]:
    """A call's arguments by name, as far as they have one; ``**kwargs`` are among the others."""
    found = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            found.pop(parameter.name, None)
        elif parameter.kind is parameter.VAR_KEYWORD:
            found |= found.pop(parameter.name, {})
    return found


def set_aside(bound: BoundArguments) -> None:
    """Exchange the callbacks for ones in which a call of the denoiser is no step of this call."""
    for arguments in (bound.arguments, *_further(bound)):
        for name in _CALLBACKS:
            if callable(arguments.get(name)):
                arguments[name] = _aside(arguments[name])


def _further(bound: BoundArguments) -> list[dict[str, Any]]:
    """What ``**kwargs`` holds."""
    kinds = bound.signature.parameters.values()
    names = [one.name for one in kinds if one.kind is one.VAR_KEYWORD]
    return [bound.arguments[name] for name in names if name in bound.arguments]


def _aside(callback: Any) -> Any:
    from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

    if not isinstance(callback, PipelineCallback | MultiPipelineCallbacks):
        return aside(callback)

    class Aside(PipelineCallback):  # type: ignore[misc]
        """Of the kind that diffusers asks for the tensors that it wants."""

        def __init__(self) -> None:
            self.tensor_inputs = callback.tensor_inputs

        tensor_inputs = ()
        __call__ = staticmethod(aside(callback))

    return Aside()
