"""Callbacks of a call in T-GATE's own denoising loop."""

import inspect
from collections.abc import Callable
from typing import Any

from tuner.errors import UnfitError
from tuner.formatting import listed


def with_callbacks(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The package's loop, with callbacks that have the same effect as in the pipeline's own loop.

    The package's loop continues with the latents that a callback returns, but ignores some of the
    other tensors that the callback may change.
    """
    signature = inspect.signature(loop)

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        callback = bound.arguments.get("callback_on_step_end")
        if callback is not None:
            bound.arguments["callback_on_step_end"] = _checked(callback)
            if hasattr(callback, "tensor_inputs"):
                bound.arguments["callback_on_step_end_tensor_inputs"] = callback.tensor_inputs
        return loop(*bound.args, **bound.kwargs)

    return function


def _checked(callback: Callable[..., Any]) -> Callable[..., Any]:
    """The callback, whose result is adapted to the package's loop or refused.

    Raises:
        UnfitError: the callback changes a tensor that the package's loop would ignore.
    """

    def function(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> Any:
        before = dict(tensors)
        after = dict(callback(pipeline, step, timestep, tensors))
        # The package's loop would use this tensor; the pipeline's own loop ignores it.
        after.pop("negative_prompt_embeds", None)
        changed = [k for k, v in after.items() if k != "latents" and v is not before.get(k)]
        if changed == ["prompt_embeds"] and not pipeline.do_classifier_free_guidance:
            # Without guidance the package's loop uses the prompt under this name.
            return after | {"negative_prompt_embeds": after["prompt_embeds"]}
        if changed:
            raise UnfitError(
                f"tgate's denoising loop would ignore that the callback changes {listed(changed)} "
                f"at step {step}; leave the callback out"
            )
        return after

    return function
