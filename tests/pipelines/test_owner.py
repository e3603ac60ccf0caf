"""How long accelerators stay: until undone, until the end of a block, as long as a pipeline."""

import gc
import weakref
from typing import Any

import pytest
import torch

import tuner
from tests.accelerators.cases import Names, accelerated, baseline, setting
from tests.helpers.pipelines import new, pictures, same, tiny
from tests.pipelines.threads import DEEPCACHE, every_single, in_a_thread
from tuner.applying.applied import applied
from tuner.errors import UsageError
from tuner.pipelines import gate as _gate
from tuner.pipelines import owner as _owner
from tuner.pipelines import steps as _steps


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
    with pytest.raises(
        UsageError, match="this `generate` is no longer accelerated: its `with` block has ended"
    ):
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
    gc.collect()  # objects that were created while pipelines were loaded
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
