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
    with pytest.raises(UsageError, match="an acceleration that has ended, by its undo or"):
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
