"""DeepCache in a window of steps."""

import pytest

from tests.accelerators.upstream import ours
from tests.helpers.pipelines import STEPS, same, tiny
from tuner.accelerators.deepcache import DeepCache
from tuner.accelerators.deepcachewindow import DeepCacheWindow
from tuner.canonical import canonical
from tuner.plans.plan import plan_of, shape_of
from tuner.setting import Setting


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_window_over_all_steps_is_deepcache(family: str) -> None:
    whole = DeepCacheWindow(cache_interval=3, cache_branch_id=1, start=1, end=STEPS)
    plain = DeepCache(cache_interval=3, cache_branch_id=1)
    assert same(ours(tiny(family), whole), ours(tiny(family), plain))


def test_outside_its_window_every_pass_is_full() -> None:
    window = DeepCacheWindow(cache_interval=3, cache_branch_id=0, start=2, end=6)
    plan = plan_of((window,), shape_of(tiny("sd"), 16), STEPS)
    entered = [step.entered for step in plan.steps]
    assert entered == [None, None, 0, 0, None, 0, None, None]


def test_windows_that_hold_no_step_are_the_baseline() -> None:
    shape = shape_of(tiny("sd"), 16)
    window = {"cache_interval": 3, "cache_branch_id": 0, "start": 8, "end": 10}
    assert canonical(Setting.of({"deepcache-window": window}), shape, STEPS) == Setting()
