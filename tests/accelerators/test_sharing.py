"""Pipelines that share a denoiser, threads that share a pipeline, and calls within calls.

Threads are started in the middle of a step and waited for, so that no test depends on timing.
"""

import copy
import gc
import inspect
import weakref
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.callbacks import PipelineCallback

import tuner
from tests.accelerators.cases import FITTING, Names, accelerated, baseline, neutral, setting
from tests.pipelines import new, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.errors import UsageError
from tuner.pipelines import gate as _gate
from tuner.pipelines import owner as _owner
from tuner.pipelines import steps as _steps
from tuner.pipelines.denoiser import denoiser_of

DEEPCACHE = setting(("deepcache",))
every_single = pytest.mark.parametrize(  # a double takes combinations as it takes one
    ("names", "family"),
    [
        pytest.param(names, family, id=names[0])
        for names, family in dict(reversed(FITTING)).items()
        if len(names) == 1
    ],
)


def beside(pipeline: Any) -> Any:
    """Another pipeline of the same parts, with a scheduler of its own."""
    other = copy.copy(pipeline)
    other.scheduler = copy.deepcopy(pipeline.scheduler)
    return other


def in_a_thread(work: Callable[[], Any]) -> Any:
    found = []
    thread = Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(timeout=60)
    return found[0]


def in_the_middle(pipeline: Any, generate: Any, work: Callable[[], Any]) -> tuple[Any, Any]:
    """Generate, and do work in the middle of the third step; what both give."""
    found: list[Any] = []
    module = list(denoiser_of(pipeline).children())[-1]  # when it runs, most of a step is done
    calls = 0

    def hook(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            found.append(work())

    handle = module.register_forward_pre_hook(hook)
    try:
        return pictures(generate), found[0]
    finally:
        handle.remove()


@every_single
def test_a_plain_call_in_another_thread_is_plain_while_an_accelerated_one_is_in_a_step(
    names: Names, family: str
) -> None:
    expected = accelerated(family, names)
    pipeline = tiny(family)
    plain = beside(pipeline)
    with applied(pipeline, setting(names).accelerators) as generate:
        fast, slow = in_the_middle(pipeline, generate, lambda: in_a_thread(lambda: pictures(plain)))
    assert same(fast, expected)
    assert same(slow, baseline(family))


def test_a_plain_call_goes_on_plain_where_an_accelerated_one_comes_in_between() -> None:
    pipeline = tiny("sd")
    plain = beside(pipeline)
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        slow, fast = in_the_middle(pipeline, plain, lambda: in_a_thread(lambda: pictures(generate)))
    assert same(fast, accelerated("sd", ("deepcache",)))
    assert same(slow, baseline("sd"))


def test_two_accelerated_pipelines_of_one_denoiser_do_not_see_each_other() -> None:
    one = tiny("sd")
    other = beside(one)
    undo = tuner.apply(one, setting(("tgate",)), seed=0)
    undo_other = tuner.apply(other, setting(("deepcache", "tome")), seed=0)
    try:
        found, inner = in_the_middle(one, one, lambda: in_a_thread(lambda: pictures(other)))
    finally:
        undo()
        undo_other()
    assert same(found, accelerated("sd", ("tgate",)))
    assert same(inner, accelerated("sd", ("deepcache", "tome")))


def test_calls_of_one_pipeline_in_two_threads_wait_for_one_another() -> None:
    pipeline = tiny("sd")
    undo = tuner.apply(pipeline, DEEPCACHE)
    waiting: list[Thread] = []
    found: list[np.ndarray] = []

    def begin_another() -> None:
        waiting.append(Thread(target=lambda: found.append(pictures(pipeline))))
        waiting[0].start()

    try:
        first, _ = in_the_middle(pipeline, pipeline, begin_another)
        waiting[0].join(timeout=60)
    finally:
        undo()
    assert same(first, accelerated("sd", ("deepcache",)))
    assert same(found[0], first)


@every_single
def test_a_callback_may_call_a_plain_pipeline_of_the_same_denoiser(
    names: Names, family: str
) -> None:
    expected = accelerated(family, names)
    pipeline = tiny(family)
    plain = beside(pipeline)
    found = []

    def after_step(*args: Any) -> Any:
        if 3 in args[:2]:
            found.append(pictures(plain))
        return args[-1]

    with applied(pipeline, setting(names).accelerators) as generate:
        known = inspect.signature(generate).parameters
        name = "callback_on_step_end" if "callback_on_step_end" in known else "callback"
        assert same(pictures(generate, **{name: after_step}), expected)
    assert same(found[0], baseline(family))


def test_what_a_callback_changes_on_the_denoiser_counts_from_the_next_step() -> None:
    def change(at: int, does: Callable[[Any], None]) -> Any:
        def after_step(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
            if step == at:
                does(pipe.unet)
            return given

        return after_step

    def hang(denoiser: Any) -> None:
        hooks.append(denoiser.mid_block.register_forward_hook(lambda *a: a[-1] * 0))

    def take_away(denoiser: Any) -> None:
        hooks.pop().remove()

    def blend(denoiser: Any) -> None:
        denoiser.enable_freeu(0.5, 0.5, 2.0, 2.0)

    def unblend(denoiser: Any) -> None:
        for block in denoiser.up_blocks:
            for name in ("s1", "s2", "b1", "b2"):
                delattr(block, name)

    hooks: list[Any] = []
    pipeline = new("sd")
    plain = pictures(pipeline)
    for begin, end in ((hang, take_away), (blend, unblend)):
        expected = pictures(pipeline, callback_on_step_end=change(3, begin))
        end(pipeline.unet)
        with applied(pipeline, neutral(("deepcache",)).accelerators) as generate:
            found = pictures(generate, callback_on_step_end=change(3, begin))
            assert same(found, expected)
            assert not same(found, plain)
            from_the_first = pictures(generate, callback_on_step_end=change(0, end))
            assert not same(from_the_first, plain)
        begin(pipeline.unet)
        assert same(from_the_first, pictures(pipeline, callback_on_step_end=change(0, end)))


def test_diffusers_own_callbacks_are_asked_for_their_tensors() -> None:
    class Note(PipelineCallback):
        tensor_inputs = ("latents",)
        seen: list[str] = []  # noqa: RUF012 - of this test alone

        def callback_fn(self, pipeline: Any, step: int, t: Any, given: dict[str, Any]) -> Any:
            self.seen.extend(given)
            return given

    pipeline = tiny("sd")
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        pictures(generate, callback_on_step_end=Note(), num_inference_steps=2)
    assert Note.seen == ["latents", "latents"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_scheduler_made_in_the_middle_of_a_call_steps_by_itself(copied: Any) -> None:
    pipeline = tiny("sd", "DPM-Solver++")
    expected = accelerated("sd", ("deepcache",), "DPM-Solver++")
    plain = beside(pipeline)
    other = pictures(plain)
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        found, scheduler = in_the_middle(pipeline, generate, lambda: copied(pipeline.scheduler))
    assert same(found, expected)
    assert set(vars(scheduler)) == set(vars(plain.scheduler))
    plain.scheduler = scheduler
    assert same(pictures(plain), other)


def test_two_accelerated_pipelines_may_share_a_scheduler_in_two_threads() -> None:
    one = tiny("sd")
    other = copy.copy(one)
    waiting: list[Thread] = []
    found: list[np.ndarray] = []
    begun, may_end = Event(), Event()

    def after_step(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        may_end.wait(timeout=60)
        return given

    def begin_another() -> None:
        draw = partial(pictures, other, callback_on_step_end=after_step)
        waiting.append(Thread(target=lambda: found.append(draw())))
        waiting[0].start()
        begun.wait(timeout=60)

    step = type(one.scheduler).step
    with applied(one, DEEPCACHE.accelerators), applied(other, DEEPCACHE.accelerators):
        first, _ = in_the_middle(one, one, begin_another)
        may_end.set()
        waiting[0].join(timeout=60)
    assert same(first, accelerated("sd", ("deepcache",)))
    assert same(found[0], first)
    assert type(one.scheduler).step is step


def test_a_callback_may_take_a_step_of_the_scheduler_to_look_ahead() -> None:
    def look(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        pipe.scheduler.step(given["latents"], t, given["latents"])
        return given

    pipeline = tiny("sd")
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        found = pictures(generate, callback_on_step_end=look)
    assert same(found, accelerated("sd", ("deepcache",)))


def test_undoing_in_the_middle_of_a_call_is_not_lost_and_the_call_goes_on() -> None:
    pipeline = tiny("sd")
    undo = tuner.apply(pipeline, DEEPCACHE)

    def after_step(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        undo()
        return given

    found = pictures(pipeline, callback_on_step_end=after_step)
    assert same(found, accelerated("sd", ("deepcache",)))
    assert same(pictures(pipeline), baseline("sd"))


def test_undoing_twice_leaves_a_later_application_on() -> None:
    pipeline, expected = tiny("sd"), accelerated("sd", ("deepcache",))
    undo = tuner.apply(pipeline, setting(("tome",)))
    undo()
    undo_other = tuner.apply(pipeline, DEEPCACHE)
    undo()
    assert same(pictures(pipeline), expected)
    undo_other()
    assert same(pictures(pipeline), baseline("sd"))


@every_single
def test_the_pipeline_in_a_with_block_acts_as_generate(names: Names, family: str) -> None:
    expected = accelerated(family, names)
    pipeline = tiny(family)
    with applied(pipeline, setting(names).accelerators):
        pictures(pipeline, first=7)
        assert same(pictures(pipeline), expected)
    assert same(pictures(pipeline), baseline(family))


def test_a_generate_whose_block_has_ended_is_refused() -> None:
    pipeline = tiny("sd")
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        pass
    with pytest.raises(UsageError, match="an acceleration that has ended, by its undo or with"):
        pictures(generate)


def test_a_block_that_a_generator_never_left_ends_with_the_generator() -> None:
    pipeline = new("sd")

    def halfway() -> Any:
        with applied(pipeline, DEEPCACHE.accelerators) as generate:
            yield pictures(generate)

    abandoned = halfway()
    next(abandoned)
    in_a_thread(abandoned.close)
    assert same(pictures(pipeline), baseline("sd"))


@every_single
def test_what_a_pipeline_holds_is_freed_with_it_and_not_by_the_garbage_collector(
    names: Names, family: str
) -> None:
    pipeline = new(family)
    parts = [one for one in pipeline.components.values() if isinstance(one, torch.nn.Module)]
    pictures(pipeline, num_inference_steps=1)
    # Flux's own call leaves a registry of hooks on its transformer, which refers back to it.
    held = [weakref.ref(one) for one in (pipeline, *parts) if "_diffusers_hook" not in vars(one)]
    gc.collect()  # what was made while pipelines were loaded
    gc.disable()
    try:
        with applied(pipeline, setting(names).accelerators) as generate:
            pictures(generate, num_inference_steps=6)
        del generate, pipeline, parts
        assert [type(one()) for one in held if one() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("module", [_owner, _gate, _steps])
def test_an_abandoned_block_may_be_left_while_its_thread_holds_a_lock(module: Any) -> None:
    """As the garbage collector does, which comes with any allocation."""
    pipeline = new("sd")

    def halfway() -> Any:
        with applied(pipeline, DEEPCACHE.accelerators) as generate:
            yield pictures(generate, num_inference_steps=1)

    def leave() -> bool:
        abandoned = halfway()
        next(abandoned)
        taken = module._lock.acquire(timeout=1)
        again = module._lock.acquire(timeout=1)  # what a lock of one entry refuses for ever
        if again:
            abandoned.close()
            module._lock.release()
        module._lock.release()
        return bool(taken and again)

    assert in_a_thread(leave)
