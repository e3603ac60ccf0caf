"""Threads, second pipelines and hooks of other code: before, during and after an application."""

import copy
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import accelerate
import numpy as np
import pytest
from diffusers import AutoPipelineForImage2Image, StableDiffusionImg2ImgPipeline
from diffusers.hooks import HookRegistry

import tuner
from tests.accelerators.cases import accelerated, baseline, setting
from tests.helpers.pipelines import new, pictures, same, tiny
from tests.helpers.relatives import PICTURE, drawn
from tests.pipelines.test_foreign import cast, dispatched, offloaded, offloaded_by_groups
from tests.pipelines.threads import DEEPCACHE, in_a_thread, in_the_middle, sharing_parts
from tuner.errors import UsageError

IMAGE: dict[str, Any] = {"image": PICTURE, "strength": 0.75}


def at_once(*works: Callable[[], np.ndarray]) -> list[list[np.ndarray]]:
    """Run each function twice in a thread of its own, all at the same time; the results of each."""
    barrier, results = Barrier(len(works)), [[] for _ in works]

    def run(number: int) -> None:
        barrier.wait(timeout=60)
        for _ in range(2):
            results[number].append(works[number]())

    threads = [Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return results


def test_threads_on_one_applied_pipeline_and_on_others_of_its_unet_draw_what_one_thread_draws() -> (
    None
):
    first = tiny("sd")
    second, plain = sharing_parts(first), sharing_parts(first)
    undo = tuner.apply(first, DEEPCACHE, seed=0)
    undo_second = tuner.apply(second, setting(("tome", "tgate")), seed=0)
    try:
        results = at_once(
            lambda: pictures(first),
            lambda: pictures(first),
            lambda: pictures(second),
            lambda: pictures(plain),
        )
    finally:
        undo()
        undo_second()
    fast = accelerated("sd", ("deepcache",))
    for drawn_ones, expected in zip(
        results, (fast, fast, accelerated("sd", ("tome", "tgate")), baseline("sd")), strict=True
    ):
        assert len(drawn_ones) == 2
        assert all(same(picture, expected) for picture in drawn_ones)


def test_accelerated_pipelines_that_share_a_scheduler_wait_for_one_another() -> None:
    first = tiny("sd", "DPM-Solver++")  # which keeps the last steps' outputs
    second = copy.copy(first)
    step = type(first.scheduler).step
    undo, undo_second = tuner.apply(first, DEEPCACHE), tuner.apply(second, DEEPCACHE)
    try:
        results = at_once(lambda: pictures(first), lambda: pictures(second))
    finally:
        undo()
        undo_second()
    expected = accelerated("sd", ("deepcache",), "DPM-Solver++")
    assert all(same(picture, expected) for drawn_ones in results for picture in drawn_ones)
    assert type(first.scheduler).step is step


def test_a_plain_call_on_the_same_scheduler_in_another_thread_is_an_error_in_one_line() -> None:
    pipeline = tiny("sd", "DPM-Solver++")
    plain = copy.copy(pipeline)
    undo = tuner.apply(pipeline, DEEPCACHE)
    try:
        with pytest.raises(UsageError, match="another thread used this pipeline's DPMSolver") as e:
            in_the_middle(pipeline, pipeline, lambda: in_a_thread(lambda: pictures(plain)))
        assert "\n" not in str(e.value)
        expected = accelerated("sd", ("deepcache",), "DPM-Solver++")
        assert same(pictures(pipeline), expected)
    finally:
        undo()


@pytest.mark.parametrize("kind", [StableDiffusionImg2ImgPipeline, AutoPipelineForImage2Image])
def test_a_pipeline_that_from_pipe_makes_of_an_applied_one_is_plain(kind: Any) -> None:
    pipeline = new("sd")
    expected = drawn(kind.from_pipe(pipeline), **IMAGE)
    undo = tuner.apply(pipeline, DEEPCACHE)
    made = kind.from_pipe(pipeline)
    assert type(made) is StableDiffusionImg2ImgPipeline
    assert same(drawn(made, **IMAGE), expected)
    assert same(pictures(pipeline), accelerated("sd", ("deepcache",)))
    undo_made = tuner.apply(made, DEEPCACHE)
    assert not same(drawn(made, **IMAGE), expected)
    assert same(pictures(pipeline), accelerated("sd", ("deepcache",)))
    undo()
    undo_made()
    assert same(drawn(made, **IMAGE), expected)
    assert same(pictures(pipeline), baseline("sd"))


def test_undoing_and_applying_anew_in_another_thread_leaves_the_running_call_as_it_began() -> None:
    pipeline = tiny("sd")
    expected = accelerated("sd", ("tome",))
    undo = tuner.apply(pipeline, DEEPCACHE)

    def exchange() -> Any:
        undo()
        return tuner.apply(pipeline, setting(("tome",)), seed=0)

    first, undo_other = in_the_middle(pipeline, pipeline, lambda: in_a_thread(exchange))
    assert same(first, accelerated("sd", ("deepcache",)))
    assert same(pictures(pipeline), expected)
    undo_other()
    assert same(pictures(pipeline), baseline("sd"))


def test_applying_during_a_plain_call_leaves_that_call_plain() -> None:
    pipeline = tiny("sd")
    plain, undo = in_the_middle(
        pipeline, pipeline, lambda: in_a_thread(lambda: tuner.apply(pipeline, DEEPCACHE))
    )
    assert same(plain, baseline("sd"))
    assert same(pictures(pipeline), accelerated("sd", ("deepcache",)))
    undo()
    assert same(pictures(pipeline), baseline("sd"))


# Hooks of other code: how they are put on a U-Net and taken off again.


def without_accelerate(pipeline: Any) -> None:
    accelerate.hooks.remove_hook_from_module(pipeline.unet, recurse=True)


def without_diffusers(pipeline: Any) -> None:
    for module in pipeline.unet.modules():
        registry = vars(module).get("_diffusers_hook")
        for name in list(registry.hooks) if registry is not None else ():
            registry.remove_hook(name, recurse=False)


WAYS = {
    "model offloading": (offloaded, lambda pipe: pipe.remove_all_hooks()),
    "a device map": (dispatched, without_accelerate),
    "group offloading": (offloaded_by_groups, without_diffusers),
}
ORDERS = {
    "on before, off before the undo": "+A-U",
    "on before, off after the undo": "+AU-",
    "on after, off before the undo": "A+-U",
    "on after, off after the undo": "A+U-",
}


def on_the_way(at: int, does: Callable[[], None]) -> Callable[..., Any]:
    def callback(pipe: Any, step: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == at:
            does()
        return tensors

    return callback


QUICK = {("model offloading", "A+-U"), ("a device map", "+AU-"), ("group offloading", "A+U-")}


@pytest.mark.parametrize(
    ("way", "order"),
    [
        pytest.param(
            way,
            order,
            marks=() if (way, order) in QUICK else pytest.mark.slow,
            id=f"{way}, {words}",
        )
        for way in WAYS
        for words, order in ORDERS.items()
    ],
)
def test_hooks_of_other_code_may_come_and_go_in_any_order(way: str, order: str) -> None:
    put_on, take_off = WAYS[way]
    pipeline = new("sd")
    undo: Any = None
    for action in order:
        if action == "A":
            undo = tuner.apply(pipeline, DEEPCACHE)
        elif action == "U":
            undo()
            undo = None
        else:
            (put_on if action == "+" else take_off)(pipeline)
        expected = baseline("sd") if undo is None else accelerated("sd", ("deepcache",))
        assert same(pictures(pipeline), expected)
    assert not [name for name, module in pipeline.unet.named_modules() if changed(module)]


@pytest.mark.parametrize("way", WAYS)
def test_hooks_that_are_put_on_during_a_call_stay_and_can_be_removed(way: str) -> None:
    put_on, take_off = WAYS[way]
    pipeline = new("sd")
    expected = accelerated("sd", ("deepcache",))
    undo = tuner.apply(pipeline, DEEPCACHE)
    callback = on_the_way(2, lambda: put_on(pipeline))
    assert same(pictures(pipeline, callback_on_step_end=callback), expected)
    assert same(pictures(pipeline), expected)
    undo()
    assert same(pictures(pipeline), baseline("sd"))
    take_off(pipeline)
    assert same(pictures(pipeline), baseline("sd"))
    undo = tuner.apply(pipeline, DEEPCACHE)
    assert same(pictures(pipeline), expected)
    undo()


def test_layerwise_casting_that_is_enabled_in_between_stays_after_the_undo() -> None:
    pipeline = new("sd")
    undo = tuner.apply(pipeline, DEEPCACHE)
    pictures(pipeline)
    cast(pipeline)
    pictures(pipeline)
    undo()
    after = pictures(pipeline)
    expected = new("sd")
    cast(expected)
    assert same(after, pictures(expected))
    assert HookRegistry.check_if_exists_or_initialize(pipeline.unet.conv_norm_out) is not None


def changed(module: Any) -> bool:
    """Whether a module has a forward that is not its class's method."""
    forward = vars(module).get("forward")
    return forward is not None and getattr(forward, "__func__", None) is not type(module).forward
