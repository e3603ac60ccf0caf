"""Pipelines that share a denoiser, threads that share a pipeline, and calls within calls.

Threads are started in the middle of a step and waited for, so that no test depends on timing.
"""

import inspect
from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
from diffusers.callbacks import PipelineCallback

import tuner
from tests.accelerators.cases import Names, accelerated, baseline, neutral, setting
from tests.helpers.pipelines import new, pictures, same, tiny
from tests.pipelines.threads import (
    DEEPCACHE,
    every_single,
    in_a_thread,
    in_the_middle,
    sharing_parts,
)
from tuner.applying.applied import applied


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


def test_diffusers_own_callbacks_get_the_tensors_that_they_request() -> None:
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
