"""Features of a plan that predict its quality."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.pipelines import LATENT_SIDE, tiny
from tuner.plans.features import PARTS, reuse
from tuner.plans.plan import Plan, plan_of, shape_of
from tuner.setting import Setting

CACHED = {"deepcache": {"cache_interval": 4, "cache_branch_id": 0}}


def plan(steps: int, **params: dict[str, float]) -> Plan:
    pipeline = tiny("sd")
    shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
    return plan_of(Setting.of(params).accelerators, shape, steps)


@pytest.mark.parametrize("steps", [3, 20, 25, 50])
def test_a_course_has_the_same_parts_whatever_the_number_of_steps(steps: int) -> None:
    assert len(reuse(plan(steps, **CACHED)).course) == len(reuse(plan(PARTS)).course)
    assert not reuse(plan(steps)).course.any()


def test_with_as_many_steps_as_parts_the_course_is_what_each_step_reuses() -> None:
    entered = [step.entered is not None for step in plan(PARTS, **CACHED).steps]
    depth = reuse(plan(PARTS, **CACHED)).course.reshape(-1, PARTS)[2]
    assert (depth > 0).tolist() == entered


def test_schedules_with_the_same_summary_differ_in_their_course() -> None:
    cached = plan(PARTS, **CACHED)
    # Of steps 8 to 11, the full one comes one step later: as many steps are shallow, but others.
    steps = [*cached.steps[:8], cached.steps[11], *cached.steps[8:11], *cached.steps[12:]]
    depth = slice(3, 5)
    moved = replace(cached, steps=steps)
    assert reuse(moved).summary[depth] == pytest.approx(reuse(cached).summary[depth])
    assert not np.allclose(reuse(moved).course, reuse(cached).course)
