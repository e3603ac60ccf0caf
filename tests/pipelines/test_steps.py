"""Schedulers that are copied, shared or stepped ahead in the middle of a call."""

import copy
from typing import Any

import pytest

from tests.accelerators.cases import accelerated
from tests.helpers.pipelines import pictures, same, tiny
from tests.pipelines.threads import DEEPCACHE, in_the_middle, sharing_parts
from tuner.applying.applied import applied


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


def test_a_callback_may_take_a_step_of_the_scheduler_to_look_ahead() -> None:
    def look(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        pipe.scheduler.step(given["latents"], t, given["latents"])
        return given

    pipeline = tiny("sd")
    with applied(pipeline, DEEPCACHE.accelerators) as generate:
        actual = pictures(generate, callback_on_step_end=look)
    assert same(actual, accelerated("sd", ("deepcache",)))
