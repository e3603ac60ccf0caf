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
from tests.helpers.pipelines import new, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.errors import UsageError
from tuner.pipelines import gate as _gate
from tuner.pipelines import owner as _owner
from tuner.pipelines import steps as _steps
from tuner.pipelines.denoiser import denoiser_of

DEEPCACHE = setting(("deepcache",))
every_single = pytest.mark.parametrize(  # combinations add nothing new to these tests
    ("names", "family"),
    [
        pytest.param(names, family, id=names[0])
        for names, family in dict(reversed(FITTING)).items()
        if len(names) == 1
    ],
)


def sharing_parts(pipeline: Any) -> Any:
    """Another pipeline with the same parts, except for a scheduler of its own."""
    other = copy.copy(pipeline)
    other.scheduler = copy.deepcopy(pipeline.scheduler)
    return other


def in_a_thread(work: Callable[[], Any]) -> Any:
    results = []
    thread = Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(timeout=60)
    return results[0]


def in_the_middle(pipeline: Any, generate: Any, work: Callable[[], Any]) -> tuple[Any, Any]:
    """Generate, and call `work` in the middle of the third step; the results of both."""
    results: list[Any] = []
    module = list(denoiser_of(pipeline).children())[-1]  # when it runs, most of a step is done
    calls = 0

    def hook(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            results.append(work())

    handle = module.register_forward_pre_hook(hook)
    try:
        return pictures(generate), results[0]
    finally:
        handle.remove()


@every_single
def test_a_plain_call_in_another_thread_is_not_accelerated_during_an_accelerated_call(
    names: Names, family: str
) -> None:
    expected = accelerated(family, names)
    pipeline = tiny(family)
    plain = sharing_parts(pipeline)
    with applied(pipeline, setting(names).accelerators) as generate:
        fast, slow = in_the_middle(pipeline, generate, lambda: in_a_thread(lambda: pictures(plain)))
    assert same(fast, expected)
    assert same(slow, baseline(family))


def test_a_plain_call_is_not_accelerated_while_another_thread_makes_an_accelerated_one() -> None:
    pipeline = tiny("sd")
    plain = sharing_parts(pipeline)
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        slow, fast = in_the_middle(pipeline, plain, lambda: in_a_thread(lambda: pictures(generate)))
    assert same(fast, accelerated("sd", ("deepcache",)))
    assert same(slow, baseline("sd"))


def test_two_accelerated_pipelines_of_one_denoiser_do_not_affect_each_other() -> None:
    first = tiny("sd")
    second = sharing_parts(first)
    undo = tuner.apply(first, setting(("tgate",)), seed=0)
    undo_second = tuner.apply(second, setting(("deepcache", "tome")), seed=0)
    try:
        outer, inner = in_the_middle(first, first, lambda: in_a_thread(lambda: pictures(second)))
    finally:
        undo()
        undo_second()
    assert same(outer, accelerated("sd", ("tgate",)))
    assert same(inner, accelerated("sd", ("deepcache", "tome")))


def test_calls_of_one_pipeline_in_two_threads_wait_for_one_another() -> None:
    pipeline = tiny("sd")
    undo = tuner.apply(pipeline, DEEPCACHE)
    waiting: list[Thread] = []
    results: list[np.ndarray] = []

    def begin_another() -> None:
        waiting.append(Thread(target=lambda: results.append(pictures(pipeline))))
        waiting[0].start()

    try:
        first, _ = in_the_middle(pipeline, pipeline, begin_another)
        waiting[0].join(timeout=60)
    finally:
        undo()
    assert same(first, accelerated("sd", ("deepcache",)))
    assert same(results[0], first)


@every_single
def test_a_callback_may_call_a_plain_pipeline_of_the_same_denoiser(
    names: Names, family: str
) -> None:
    expected = accelerated(family, names)
    pipeline = tiny(family)
    plain = sharing_parts(pipeline)
    plain_results = []

    def after_step(*args: Any) -> Any:
        if 3 in args[:2]:
            plain_results.append(pictures(plain))
        return args[-1]

    with applied(pipeline, setting(names).accelerators) as generate:
        known = inspect.signature(generate).parameters
        name = "callback_on_step_end" if "callback_on_step_end" in known else "callback"
        assert same(pictures(generate, **{name: after_step}), expected)
    assert same(plain_results[0], baseline(family))


def test_changes_of_the_denoiser_by_a_callback_take_effect_at_the_next_step() -> None:
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
            actual = pictures(generate, callback_on_step_end=change(3, begin))
            assert same(actual, expected)
            assert not same(actual, plain)
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
def test_a_copy_of_a_scheduler_made_during_a_call_is_an_ordinary_scheduler(copied: Any) -> None:
    pipeline = tiny("sd", "DPM-Solver++")
    expected = accelerated("sd", ("deepcache",), "DPM-Solver++")
    plain = sharing_parts(pipeline)
    other = pictures(plain)
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        actual, scheduler = in_the_middle(pipeline, generate, lambda: copied(pipeline.scheduler))
    assert same(actual, expected)
    assert set(vars(scheduler)) == set(vars(plain.scheduler))
    plain.scheduler = scheduler
    assert same(pictures(plain), other)


def test_two_accelerated_pipelines_may_share_a_scheduler_in_two_threads() -> None:
    first = tiny("sd")
    second = copy.copy(first)
    waiting: list[Thread] = []
    second_result: list[np.ndarray] = []
    begun, may_end = Event(), Event()

    def after_step(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        may_end.wait(timeout=60)
        return given

    def begin_another() -> None:
        draw = partial(pictures, second, callback_on_step_end=after_step)
        waiting.append(Thread(target=lambda: second_result.append(draw())))
        waiting[0].start()
        begun.wait(timeout=60)

    step = type(first.scheduler).step
    with applied(first, DEEPCACHE.accelerators), applied(second, DEEPCACHE.accelerators):
        first_result, _ = in_the_middle(first, first, begin_another)
        may_end.set()
        waiting[0].join(timeout=60)
    assert same(first_result, accelerated("sd", ("deepcache",)))
    assert same(second_result[0], first_result)
    assert type(first.scheduler).step is step


def test_a_callback_may_take_a_step_of_the_scheduler_to_look_ahead() -> None:
    def look(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        pipe.scheduler.step(given["latents"], t, given["latents"])
        return given

    pipeline = tiny("sd")
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        actual = pictures(generate, callback_on_step_end=look)
    assert same(actual, accelerated("sd", ("deepcache",)))


def test_undoing_during_a_call_takes_effect_after_the_call() -> None:
    pipeline = tiny("sd")
    undo = tuner.apply(pipeline, DEEPCACHE)

    def after_step(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        undo()
        return given

    actual = pictures(pipeline, callback_on_step_end=after_step)
    assert same(actual, accelerated("sd", ("deepcache",)))
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


def test_a_block_within_an_abandoned_generator_ends_when_the_generator_is_closed() -> None:
    pipeline = new("sd")

    def halfway() -> Any:
        with applied(pipeline, DEEPCACHE.accelerators) as generate:
            yield pictures(generate)

    abandoned = halfway()
    next(abandoned)
    in_a_thread(abandoned.close)
    assert same(pictures(pipeline), baseline("sd"))


@every_single
def test_a_deleted_pipelines_memory_is_freed_without_the_garbage_collector(
    names: Names, family: str
) -> None:
    pipeline = new(family)
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    pictures(pipeline, num_inference_steps=1)
    # Flux's own call leaves a registry of hooks on its transformer, which refers back to it.
    held = [weakref.ref(part) for part in (pipeline, *parts) if "_diffusers_hook" not in vars(part)]
    gc.collect()  # what was made while pipelines were loaded
    gc.disable()
    try:
        with applied(pipeline, setting(names).accelerators) as generate:
            pictures(generate, num_inference_steps=6)
        del generate, pipeline, parts
        assert [type(part()) for part in held if part() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("module", [_owner, _gate, _steps])
def test_an_abandoned_block_may_be_left_while_its_thread_holds_a_lock(module: Any) -> None:
    """The garbage collector does so: it may run at any allocation."""
    pipeline = new("sd")

    def halfway() -> Any:
        with applied(pipeline, DEEPCACHE.accelerators) as generate:
            yield pictures(generate, num_inference_steps=1)

    def leave() -> bool:
        abandoned = halfway()
        next(abandoned)
        first_entry = module._lock.acquire(timeout=1)
        second_entry = module._lock.acquire(timeout=1)  # a lock that is not reentrant times out
        if second_entry:
            abandoned.close()
            module._lock.release()
        module._lock.release()
        return bool(first_entry and second_entry)

    assert in_a_thread(leave)
