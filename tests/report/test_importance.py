"""The importance of the knobs, over feasible and infeasible settings alike."""

from dataclasses import replace

import pytest

from tests.helpers.simulated import measurement
from tuner.report.importance import FEWEST, Importance, importance_of
from tuner.setting import Setting
from tuner.study.results import Result


def result(interval: int, branch: int, *, loss: float = 0.01, number: int = 0) -> Result:
    """A result whose speedup follows from the interval alone."""
    setting = Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": branch}})
    measured = measurement(setting)
    speedup = replace(measured.speedup, value=float(interval))
    return Result(
        trial=number,
        setting=setting,
        prompts=2,
        speedup=speedup,
        score_loss=replace(measured.score_loss, value=loss),
        score=30.0,
        latency_s=1.0,
        same_pictures=False,
    )


GRID = [(interval, branch) for interval in (2, 3, 4, 5) for branch in (0, 1, 2, 3)]


def test_the_knob_that_decides_a_figure_has_nearly_all_of_its_importance() -> None:
    losses = [0.01 * branch for _, branch in GRID]  # most of them over any limit
    importance = importance_of(
        [result(*point, loss=loss) for point, loss in zip(GRID, losses, strict=True)]
    )
    assert importance.settings == len(GRID)
    assert importance.shares["speedup"]["deepcache.cache_interval"] > 0.9
    assert importance.shares["score loss"]["deepcache.cache_branch_id"] > 0.9
    for shares in importance.shares.values():
        assert sum(shares.values()) == pytest.approx(1)


def test_with_few_settings_a_line_says_how_many_it_needs() -> None:
    results = [result(*point) for point in GRID[: FEWEST - 1]]
    importance = importance_of([*results, *results])  # measured twice: no further settings
    assert importance == Importance(
        settings=FEWEST - 1,
        missing="The importance is computed from at least 8 settings, and 7 were measured.",
    )


def test_where_a_figure_is_the_same_everywhere_its_knobs_have_no_importance() -> None:
    importance = importance_of([result(*point) for point in GRID])
    assert sum(importance.shares["speedup"].values()) == pytest.approx(1)
    assert set(importance.shares["score loss"].values()) == {0.0}


def test_figures_that_optuna_cannot_compute_with_give_a_line() -> None:
    importance = importance_of([result(*point, loss=float("nan")) for point in GRID])
    assert not importance.shares
    assert importance.missing is not None
    assert importance.missing.startswith("Optuna could not compute the importance: ")
