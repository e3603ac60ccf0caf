"""Applying several accelerators to one pipeline, call by call, so that nothing is to be undone.

The modules that a call patches are a double of the denoiser (`_double.py`), which stands in for it
in that call alone (`_gate.py`). The pipeline itself is marked as ours, and `pipeline(...)` is the
accelerated call (`_owner.py`).
"""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from types import MethodType
from typing import Any

from tuner.accelerators import Accelerator
from tuner.applying.pass_counter import PassCounter
from tuner.errors import UnfitError, UsageError
from tuner.pipelines.arguments import has_callback, named, set_aside, steps_of, tells_steps
from tuner.pipelines.calls import is_guided, values_of
from tuner.pipelines.denoiser import denoiser_of, named_denoiser
from tuner.pipelines.double import doubled
from tuner.pipelines.foreign import check_untouched, has_compiled_blocks
from tuner.pipelines.gate import sent_to
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.owner import its_turn, plain_class, take_over

Generate = Callable[..., Any]
Forget = Callable[[], None]
Choose = Callable[[Any, dict[str, Any]], Sequence[Accelerator]]


@contextmanager
def applied(
    pipeline: Any, accelerators: Sequence[Accelerator], *, seed: int = 0
) -> Iterator[Generate]:
    """Apply accelerators for the length of a ``with`` block; gives back `generate`.

    `generate` takes the pipeline's own arguments, and so does the pipeline itself meanwhile. Each
    call begins from nothing: no feature, no random state and no attention of an earlier call is
    seen. `seed` fixes what an accelerator draws at random (ToMe's choice of tokens), so that a
    picture does not depend on what ran before, nor on the batch it stood in.

    Calls in several threads wait for one another where they are of one pipeline. Other pipelines
    of the same denoiser go on as they are.

    Raises `UnfitError` where an accelerator does not fit the pipeline, its scheduler or a call,
    and `UsageError` where somebody else changes what the denoiser computes, or after the block.
    """
    generate, undo = started(pipeline, lambda *_: accelerators, [accelerators], seed=seed)
    try:
        yield generate
    finally:
        undo()


def started(
    pipeline: Any, choose: Choose, first: Iterable[Sequence[Accelerator]], *, seed: int
) -> tuple[Generate, Callable[[], None]]:
    """As `applied`, but until what comes second is called, and with a choice at each call.

    Args:
        pipeline: a diffusers pipeline.
        choose: is given the pipeline and a call's arguments by name, with their defaults.
        first: those that are tried at once, so that what does not fit is told now.
        seed: as in `applied`.
    """
    ended = False

    @wraps(plain_class(pipeline).__call__)
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        if ended:
            raise UsageError(
                "this call is of an acceleration that has ended, by its undo or with its `with` "
                "block; apply the setting again, or call the pipeline itself, which is plain now"
            )
        return _call(self, choose, seed, args, kwargs)

    release = take_over(pipeline, generate)

    def undo() -> None:
        nonlocal ended
        ended = True
        release()

    try:
        for accelerators in first:
            _rehearse(pipeline, accelerators)
    except BaseException:
        undo()
        raise
    return MethodType(generate, pipeline), undo


def _call(
    pipeline: Any, choose: Choose, seed: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """One accelerated call of the pipeline."""
    plain = plain_class(pipeline).__call__
    with its_turn(pipeline):
        bound = inspect.signature(plain).bind(pipeline, *args, **kwargs)
        given = named(bound)
        asked = values_of(pipeline, given)
        if tells_steps(asked):
            steps_of(asked)
        ordered = sorted(choose(pipeline, asked), key=lambda one: one.order)
        if not ordered:
            return plain(pipeline, *args, **kwargs)
        check_passes(pipeline, given, ordered)
        for one in ordered:
            one.check_call(pipeline, given)
        check(pipeline, ordered)
        generation = Generation(seed=seed)
        watch = PassCounter(pipeline, generation, ordered)
        denoiser = denoiser_of(pipeline)
        with _stand_in(pipeline, follow=has_callback(given)) as (stand_in, double):
            double.register_forward_pre_hook(watch.see_pass, with_kwargs=True)
            call, forget = _patch(stand_in, ordered, generation)
            for forget_one in forget:
                forget_one()
            set_aside(bound)
            try:
                with sent_to(denoiser, double), watch.over(given, denoiser):
                    if call.function is plain:
                        return plain(*bound.args, **bound.kwargs)
                    # An accelerator's own loop may have the arguments in another order.
                    return call.function(**named(bound), **call.extra)
            finally:
                for forget_one in forget:
                    forget_one()


@contextmanager
def _stand_in(pipeline: Any, *, follow: bool = False) -> Iterator[tuple[Any, Any]]:
    """A copy of the pipeline with a double of its denoiser, to be patched, and the double.

    Both are emptied at the end, so that what refers to them in circles keeps no weights alive.
    """
    with doubled(denoiser_of(pipeline), follow=follow) as double:
        stand_in = copy.copy(pipeline)
        vars(stand_in)[named_denoiser(pipeline)] = double
        try:
            yield stand_in, double
        finally:
            vars(stand_in).clear()


def _patch(
    stand_in: Any, ordered: Sequence[Accelerator], generation: Generation
) -> tuple[Call, list[Forget]]:
    """Put accelerators on a double; gives back how to call, and what forgets a generation."""
    for one in ordered:
        generation.full_steps |= one.full_steps()
    call = Call(function=plain_class(stand_in).__call__, extra={})
    return call, [one.patch(stand_in, generation, call) for one in ordered]


def _rehearse(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Raise now what would be raised by each call; patches a double that is thrown away."""
    if not accelerators:
        return
    check(pipeline, accelerators)
    denoiser = denoiser_of(pipeline)
    if has_compiled_blocks(denoiser):
        warnings.warn(
            f"accelerated calls run the compiled blocks of this {type(denoiser).__name__} as they "
            "were before compiling; compiled code does not see what accelerators change",
            stacklevel=2,
        )
    ordered = sorted(accelerators, key=lambda one: one.order)
    with _stand_in(pipeline) as (stand_in, _):
        _patch(stand_in, ordered, Generation())


def check(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Raise `UnfitError`, in one line, where one of the accelerators does not fit."""
    if accelerators:
        check_untouched(denoiser_of(pipeline))
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
    """Refuse arguments that are known to add a second pass through the denoiser to each step.

    Flux's `true_cfg_scale` adds one without the prompt, SD3's `skip_guidance_layers` one without
    some of the layers. What other arguments add is refused by `PassCounter` once it happens.
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
