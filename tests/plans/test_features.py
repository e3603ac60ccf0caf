"""Features of a plan that predict its quality."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.pipelines import LATENT_SIDE, tiny
from tuner.plans.features import PARTS, reuse, step_rows
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


def test_a_pass_for_half_as_many_pictures_is_more_than_half_of_the_work() -> None:
    rows = step_rows(
        plan(8, tgate={"gate_step": 4, "sp_interval": 1, "fi_interval": 1, "warmup": 1})
    )
    before, after = rows[0], rows[-1]
    for_each_picture = slice(1, -3)
    assert (after[for_each_picture] <= before[for_each_picture] / 2).all()
    assert after[0] == before[0]  # what a pass costs
    assert after[-3] == before[-3]  # what its layers cost
    assert after[-2] < before[-2]  # those of its cross-attentions are saved


def test_a_shallow_pass_is_little_work_whatever_the_pictures() -> None:
    rows = step_rows(plan(4, deepcache={"cache_interval": 2, "cache_branch_id": 0}))
    full, shallow = rows[0], rows[1]
    assert shallow[-3] < full[-3] / 2
    assert shallow[-1] < full[-1] / 2


def test_a_full_pass_that_keeps_features_for_a_shallow_one_is_another_kind_of_work() -> None:
    rows = step_rows(plan(4, deepcache={"cache_interval": 3, "cache_branch_id": 0}))
    plain = step_rows(plan(4))
    assert rows[:, -1].tolist() == [1.0, 0.0, 0.0, 0.0]  # no shallow pass follows the last one
    assert (plain[:, -1] == 0).all()
    assert (rows[[0, 3], :-1] == plain[[0, 3], :-1]).all()


@pytest.mark.parametrize(
    "params",
    [
        {},
        CACHED,
        {"tome": {"ratio": 0.5, "max_downsample": 2}},
        {
            "deepcache": {"cache_interval": 3, "cache_branch_id": 1},
            "tome": {"ratio": 0.3, "max_downsample": 4},
            "tgate": {"gate_step": 5, "sp_interval": 2, "fi_interval": 3, "warmup": 1},
        },
    ],
)
def test_the_work_of_attentions_is_counted_layer_by_layer(
    params: dict[str, dict[str, float]],
) -> None:
    here = plan(12, **params)
    shape = here.shape
    levels = sorted({layer.downsample for layer in shape.layers})
    expected = np.zeros((12, 4 * len(levels)))
    computed = np.zeros(12)
    for number, step in enumerate(here.steps):
        pictures = 2 if step.guided else 1
        for index, layer in enumerate(shape.layers):
            tokens = -(-shape.height // layer.downsample) * -(-shape.width // layer.downsample)
            left = 1 - here.merged[index] / tokens
            column = 4 * levels.index(layer.downsample)
            if step.self_source[index] == number:
                kinds = np.array([left, left**2, here.merged[index] > 0], float)
                expected[number, column : column + 3] += pictures * kinds
                computed[number] += 1
            if step.cross_source[index] == number:
                expected[number, column + 3] += pictures
                computed[number] += 1
    rows = step_rows(here)
    assert rows[:, 2 + shape.branches : -3] == pytest.approx(expected)
    assert rows[:, -2] == pytest.approx(computed / (2 * len(shape.layers)))
