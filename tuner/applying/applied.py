"""Applying several accelerators to one pipeline.

Each call patches a double of the denoiser (`tuner.pipelines.double`), which replaces the denoiser
during that call alone (`tuner.pipelines.gate`), so that nothing has to be undone afterwards. While
accelerators are applied, `pipeline(...)` is the accelerated call (`tuner.pipelines.owner`).
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from types import MethodType
from typing import Any

from tuner.accelerators import Accelerator
from tuner.applying.compiled import compiled_passes, runs_compiled, warn_if_uncompiled
from tuner.applying.pass_counter import PassCounter
from tuner.errors import UnfitError, UsageError
from tuner.pipelines.arguments import (
    detach_callbacks,
    has_callback,
    named,
    names_steps,
    steps_of,
)
from tuner.pipelines.calls import is_guided, values_of
from tuner.pipelines.compiling import compiler_of, original
from tuner.pipelines.denoiser import called_denoiser, denoiser_of, named_denoiser
from tuner.pipelines.double import doubled
from tuner.pipelines.foreign import check_untouched
from tuner.pipelines.gate import routed_to
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.owner import exclusive_call, plain_class, take_over

Generate = Callable[..., Any]
Reset = Callable[[], None]
Choose = Callable[[Any, dict[str, Any]], Sequence[Accelerator]]


@contextmanager
def applied(
    pipeline: Any, accelerators: Sequence[Accelerator], *, seed: int = 0
) -> Iterator[Generate]:
    """Apply accelerators for the length of a ``with`` block, which yields `generate`.

    `generate` and, within the block, the pipeline itself are the accelerated call; both take the
    pipeline's own arguments. Each call starts from scratch: it uses no feature, attention output or
    random state of an earlier call.

    Calls of the same pipeline in several threads run one after the other. Other pipelines that use
    the same denoiser are not affected.

    Args:
        pipeline: a diffusers pipeline.
        accelerators: those to apply, in any order; none for the plain pipeline.
        seed: for the random choices of accelerators (ToMe's choice of tokens). A picture depends
            neither on earlier calls nor on the other pictures of its batch.

    Raises:
        UnfitError: an accelerator does not fit the pipeline, its scheduler or a call.
        UsageError: other code changes what the denoiser computes, or `generate` is called after
            the end of the block.
    """
    generate, undo = started(pipeline, lambda *_: accelerators, [accelerators], seed=seed)
    try:
        yield generate
    finally:
        undo()


def started(
    pipeline: Any, choose: Choose, first: Iterable[Sequence[Accelerator]], *, seed: int
) -> tuple[Generate, Callable[[], None]]:
    """Apply accelerators that are chosen anew for each call, until they are removed.

    Args:
        pipeline: a diffusers pipeline.
        choose: a function of the pipeline and a call's arguments (by name, with their defaults)
            that returns the accelerators of the call.
        first: sets of accelerators to try on the pipeline now, so that errors are raised early.
        seed: as in `applied`.

    Returns:
        The accelerated call, and a function that removes the accelerators from the pipeline.
    """
    ended = False

    @wraps(plain_class(pipeline).__call__)
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        if ended:
            raise UsageError(
                "this `generate` is no longer accelerated: its `with` block has ended, or it was "
                "undone; apply the setting again, or call the pipeline itself"
            )
        return _call(self, choose, seed, args, kwargs)

    release = take_over(pipeline, generate)

    def undo() -> None:
        nonlocal ended
        ended = True
        release()

    try:
        for accelerators in first:
            _try_patching(pipeline, accelerators)
    except BaseException:
        undo()
        raise
    return MethodType(generate, pipeline), undo


def _call(
    pipeline: Any, choose: Choose, seed: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """One accelerated call of the pipeline."""
    plain = plain_class(pipeline).__call__
    with exclusive_call(pipeline):
        bound = inspect.signature(plain).bind(pipeline, *args, **kwargs)
        given = named(bound)
        with_defaults = values_of(pipeline, given)
        if names_steps(with_defaults):
            steps_of(with_defaults)  # raises if they are wrong
        ordered = _in_order(choose(pipeline, with_defaults))
        if not ordered:
            return plain(pipeline, *args, **kwargs)
        check_passes(pipeline, given, ordered)
        for accelerator in ordered:
            accelerator.check_call(pipeline, given)
        check(pipeline, ordered)
        generation = Generation(seed=seed)
        counter = PassCounter(pipeline, generation, ordered)
        follow = has_callback(given)
        detach_callbacks(bound)
        with (
            _passes(pipeline, ordered, generation, counter, follow=follow) as (passes, call),
            routed_to(called_denoiser(pipeline), passes),
            counter.during(given, denoiser_of(pipeline)),
        ):
            if call.function is plain:
                return plain(*bound.args, **bound.kwargs)
            # An accelerator's own loop may take the arguments in another order.
            return call.function(**named(bound), **call.extra)


@contextmanager
def _passes(
    pipeline: Any,
    ordered: Sequence[Accelerator],
    generation: Generation,
    counter: PassCounter,
    *,
    follow: bool,
) -> Iterator[tuple[Any, Call]]:
    """What computes the passes of one call in the denoiser's place, and how to call the pipeline.

    Whatever the accelerators store during the call is dropped at its end.
    """
    call = Call(function=plain_class(pipeline).__call__, extra={})
    for accelerator in ordered:
        generation.full_steps |= accelerator.full_steps()
    if runs_compiled(pipeline, ordered):
        with compiled_passes(
            pipeline, ordered, generation, call, counter.see_pass, follow=follow
        ) as passes:
            yield passes, call
        return
    with _stand_in(pipeline, follow=follow) as (stand_in, double):
        double.register_forward_pre_hook(counter.see_pass, with_kwargs=True)
        resets = _patch(stand_in, ordered, generation, call)
        for reset in resets:
            reset()
        try:
            yield double, call
        finally:
            for reset in resets:
                reset()


@contextmanager
def _stand_in(pipeline: Any, *, follow: bool = False) -> Iterator[tuple[Any, Any]]:
    """A copy of the pipeline with a double of its denoiser, to be patched; and the double.

    Both are emptied at the end, so that reference cycles do not keep weights alive.

    Args:
        pipeline: a diffusers pipeline.
        follow: as in `doubled`.
    """
    called = called_denoiser(pipeline)
    # Where the call is routed in front of compiled code, the denoiser's own hooks are behind it.
    compiled = compiler_of(called) is not None
    with doubled(original(called), follow=follow, with_own_hooks=compiled) as double:
        stand_in = copy.copy(pipeline)
        vars(stand_in)[named_denoiser(pipeline)] = double
        try:
            yield stand_in, double
        finally:
            vars(stand_in).clear()


def _patch(
    stand_in: Any, ordered: Sequence[Accelerator], generation: Generation, call: Call
) -> list[Reset]:
    """Patch a double; returns functions that drop what a generation stored."""
    return [accelerator.patch(stand_in, generation, call) for accelerator in ordered]


def _in_order(accelerators: Iterable[Accelerator]) -> list[Accelerator]:
    return sorted(accelerators, key=lambda accelerator: accelerator.order)


def _try_patching(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Patch a double that is discarded, to raise now the errors that each call would raise."""
    if not accelerators:
        return
    check(pipeline, accelerators)
    warn_if_uncompiled(pipeline, accelerators)
    call = Call(function=plain_class(pipeline).__call__, extra={})
    with _stand_in(pipeline) as (stand_in, _):
        _patch(stand_in, _in_order(accelerators), Generation(), call)


def check(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Check that accelerators fit a pipeline and its scheduler.

    Raises:
        UnfitError: an accelerator does not fit; the message is one line.
        UsageError: other code changes what the denoiser computes.
    """
    if accelerators:
        check_untouched(denoiser_of(pipeline))
    for accelerator in accelerators:
        accelerator.check(pipeline)
    check_scheduler(pipeline, accelerators)


def check_scheduler(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Refuse schedulers that call the denoiser more than once a step or repeat a timestep.

    Raises:
        UnfitError: the pipeline has such a scheduler.
    """
    name = type(pipeline.scheduler).__name__
    if accelerators and (pipeline.scheduler.order != 1 or name == "PNDMScheduler"):
        raise UnfitError(
            f"{_names(accelerators)} needs one pass for each denoising step, and {name} makes "
            "several; use DDIM, DPM-Solver++ or UniPC, or FlowMatchEuler for flow-matching models"
        )


def check_passes(
    pipeline: Any, arguments: dict[str, Any], accelerators: Sequence[Accelerator]
) -> None:
    """Refuse arguments that are known to add a second pass through the denoiser to each step.

    Flux's `true_cfg_scale` adds a pass without the prompt, SD3's `skip_guidance_layers` one without
    some of the layers. `PassCounter` refuses passes that other arguments add, when they happen.

    Raises:
        UnfitError: there is such an argument.
    """
    scale = arguments.get("true_cfg_scale") or 1
    if accelerators and scale > 1 and is_guided(pipeline, arguments):
        raise UnfitError(
            f"{_names(accelerators)} needs one pass for each denoising step, and true_cfg_scale = "
            f"{scale} takes two; use guidance_scale"
        )
    if accelerators and arguments.get("skip_guidance_layers") is not None:
        raise UnfitError(
            f"{_names(accelerators)} needs one pass for each denoising step, and "
            "skip_guidance_layers takes two; leave it out"
        )


def _names(accelerators: Iterable[Accelerator]) -> str:
    return " + ".join(accelerator.name for accelerator in accelerators)
