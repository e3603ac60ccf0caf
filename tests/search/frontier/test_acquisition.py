"""The acquisition: how much one more setting is expected to improve the result."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from tuner.search.frontier.acquisition import (
    SPREAD,
    expected_improvement,
    hypervolume_improvement,
    staircase,
)

LIMIT = 0.02


def test_a_staircase_has_no_point_that_loses_as_much_as_a_faster_one() -> None:
    points = [(1.5, 0.01), (2.0, 0.01), (3.0, 0.015), (3.0, 0.02), (1.2, 0.0), (1.1, 0.005)]
    assert staircase(points) == [(3.0, 0.015), (2.0, 0.01), (1.2, 0.0)]


def test_the_hypervolume_that_a_point_adds_to_a_front_is_that_of_its_corner() -> None:
    front = [(2.0, 0.01), (3.0, 0.015)]
    gain: Callable[[float, float], float] = lambda speedup, loss: float(  # noqa: E731
        hypervolume_improvement(np.array([speedup]), np.array([[loss]]), front, LIMIT)[0, 0]
    )
    assert gain(2.0, 0.01) == 0
    assert gain(1.5, 0.012) == 0
    assert gain(1.5, 0.0) == pytest.approx(0.5 * 0.01)
    assert gain(4.0, 0.015) == pytest.approx(1.0 * 0.005)
    assert gain(2.5, 0.005) == pytest.approx(1.0 * 0.005 + 0.5 * 0.010)
    assert gain(5.0, 0.03) == 0  # over the limit


def test_settings_that_are_almost_surely_infeasible_do_not_lower_an_improvement() -> None:
    speedups = np.array([1.8, 2.2, 2.6])
    measured, probability = np.array([2.0]), np.array([1.0])
    hopeless = np.linspace(2.5, 4.0, 1000)
    alone = expected_improvement(speedups, measured, probability)
    among = expected_improvement(
        speedups, np.append(measured, hopeless), np.append(probability, np.full(1000, 1e-12))
    )
    assert among == pytest.approx(alone, abs=1e-6)
    assert alone[2] == pytest.approx(0.6)
    assert alone[0] < 1e-6


def test_an_improvement_is_over_the_best_setting_weighted_by_its_probability() -> None:
    half = expected_improvement(np.array([3.0]), np.array([2.0]), np.array([0.5]))
    assert half == pytest.approx(0.5 * (3.0 - 2.0) + 0.5 * (3.0 - 1.0), rel=1e-3)


@pytest.mark.parametrize(("settings", "measured"), [(1, 0), (3, 1), (200, 40), (700, 2000)])
def test_an_improvement_is_the_mean_over_all_measured_settings(
    settings: int, measured: int
) -> None:
    rng = np.random.default_rng(0)
    speedups, others = rng.uniform(0.5, 4, settings), rng.uniform(0.5, 4, measured)
    probability = rng.uniform(0, 0.01, measured)
    fastest_first = np.argsort(-others)
    expected, none_so_far = np.zeros(settings), 1.0
    for speedup, feasible in [
        *zip(others[fastest_first], probability[fastest_first], strict=True),
        (1.0, 1.0),
    ]:
        best = max(speedup, 1.0)
        by = speedups - best
        above = by / (SPREAD * speedups)
        expected += (
            none_so_far * feasible * (by * norm.cdf(above) + SPREAD * speedups * norm.pdf(above))
        )
        none_so_far *= 1 - feasible
    improvement = expected_improvement(speedups, others, probability)
    assert improvement == pytest.approx(expected, rel=1e-6, abs=1e-9)
