"""Applying several accelerators to one pipeline, and undoing them completely."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import MethodType
from typing import Any
from weakref import WeakSet

from tuner.accelerators import Accelerator, Call, Generation
from tuner.accelerators._call import is_guided
from tuner.accelerators._denoiser import denoiser_of
from tuner.accelerators._watch import Watch
from tuner.errors import UnfitError, UsageError

Generate = Callable[..., Any]

_in_use: WeakSet[Any] = WeakSet()  # the denoisers that are patched now


@contextmanager
def applied(
    pipeline: Any, accelerators: Sequence[Accelerator], *, seed: int = 0
) -> Iterator[Generate]:
    """Apply accelerators for the length of a ``with`` block; gives back `generate`.

    `generate` takes the pipeline's own arguments. Each call begins from nothing: no feature, no
    random state and no attention of an earlier call is seen. `seed` fixes what an accelerator
    draws at random (ToMe's choice of tokens), so that a picture does not depend on what ran
    before, nor on the batch it stood in.

    Raises `UnfitError` where an accelerator does not fit the pipeline, its scheduler or a call,
    and `UsageError` where the pipeline is patched already.
    """
    check(pipeline, accelerators)
    denoiser = denoiser_of(pipeline)
    if denoiser in _in_use or _is_patched(denoiser):
        raise UsageError(
            "this pipeline is accelerated already; leave that `with` block (or call its undo) first"
        )
    generation = Generation(seed=seed)
    for one in accelerators:
        generation.full_steps |= one.full_steps()
    # Not the pipeline itself: `tuner.apply` gives it another `__call__`.
    plain = MethodType(type(pipeline).__call__, pipeline)
    call = Call(function=plain, extra={})
    signature = inspect.signature(plain)
    watch = Watch(pipeline, generation, accelerators)
    _in_use.add(denoiser)
    with ExitStack() as undo:
        undo.callback(_in_use.discard, denoiser)
        hook = denoiser.register_forward_pre_hook(watch.see_pass, with_kwargs=True)
        undo.callback(hook.remove)
        ordered = sorted(accelerators, key=lambda one: one.order)
        forget = [undo.enter_context(one.applied(pipeline, generation, call)) for one in ordered]

        @wraps(plain)
        def generate(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            check_passes(pipeline, given, ordered)
            for one in ordered:
                one.check_call(pipeline, given)
            check_scheduler(pipeline, ordered)
            for forget_one in forget:
                forget_one()
            try:
                with watch.over(given, denoiser):
                    return call.function(*args, **call.extra, **kwargs)
            finally:
                for forget_one in forget:
                    forget_one()

        yield generate


def check(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Raise `UnfitError`, in one line, where one of the accelerators does not fit."""
    for one in accelerators:
        one.check(pipeline)
    check_scheduler(pipeline, accelerators)


def check_scheduler(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Refuse schedulers that call the denoiser more than once a step or repeat a timestep."""
    name = type(pipeline.scheduler).__name__
    if accelerators and (pipeline.scheduler.order != 1 or name == "PNDMScheduler"):
        names = "+".join(one.name for one in accelerators)
        raise UnfitError(
            f"{names} counts denoising steps and {name} takes several passes for one; "
            "use DDIM, DPM-Solver++ or UniPC, and FlowMatchEuler for flows"
        )


def check_passes(
    pipeline: Any, arguments: dict[str, Any], accelerators: Sequence[Accelerator]
) -> None:
    """Refuse what makes Flux pass twice a step, without the prompt, or SD3, without some layers.

    What these arguments do is known beforehand; `Watch` refuses the rest once it happens.
    """
    names = "+".join(one.name for one in accelerators)
    scale = arguments.get("true_cfg_scale") or 1
    if accelerators and scale > 1 and is_guided(pipeline, arguments):
        raise UnfitError(
            f"{names} counts denoising steps and true_cfg_scale = {scale} takes two passes for "
            "one; use guidance_scale"
        )
    if accelerators and arguments.get("skip_guidance_layers") is not None:
        raise UnfitError(
            f"{names} counts denoising steps and skip_guidance_layers takes two passes for one; "
            "leave it out"
        )


def _is_patched(denoiser: Any) -> bool:
    """Whether someone else's accelerator is on: an instance's own forward, or ToMe's class."""
    return any(
        type(module).__name__ == "ToMeBlock" or not _is_own(module, module.__dict__.get("forward"))
        for module in denoiser.modules()
    )


def _is_own(module: Any, forward: Any) -> bool:
    """None, or the class's method, which packages put back as an attribute when they are done."""
    return forward is None or getattr(forward, "__func__", None) is type(module).forward
