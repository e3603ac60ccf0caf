"""The acquisition: how much one more setting is expected to improve the result."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm

SPREAD = 0.01  # relative standard deviation of predicted speedups around the measured ones
Point = tuple[float, float]  # speedup and loss


def staircase(points: Sequence[Point]) -> list[Point]:
    """The points that lose less than all that are at least as fast, fastest first."""
    steps: list[Point] = []
    for speedup, loss in sorted(points, key=lambda point: (-point[0], point[1])):
        if not steps or loss < steps[-1][1]:
            steps.append((speedup, loss))
    return steps


def expected_improvement(
    speedups: np.ndarray, measured: np.ndarray, feasible: np.ndarray, least: float = 1.0
) -> np.ndarray:
    """By how much each setting, if feasible, is expected to be faster than the best one so far.

    `speedups` are the predicted ones, shape (settings,); `measured` and `feasible` are the speedups
    of measured settings and the probabilities that they are feasible, shape (measured,). The
    baseline, or whatever has the speedup `least`, is feasible for sure.
    """
    order = np.argsort(-measured)
    best = np.maximum(np.append(measured[order], least), least)
    probability = np.append(feasible[order], 1.0)
    is_best = probability * np.cumprod(np.append(1.0, 1 - probability[:-1]))
    matters = is_best > 1e-9  # a few of many that were measured
    best, is_best = best[matters], is_best[matters]
    deviation = SPREAD * speedups[:, None]
    above = (speedups[:, None] - best) / deviation
    gain = deviation * (above * norm.cdf(above) + norm.pdf(above))
    expected: np.ndarray = gain @ is_best
    return expected


def improvement_over(
    speedups: np.ndarray, done: list[int], feasible: np.ndarray, least: float = 1.0
) -> np.ndarray:
    """`expected_improvement` over the rows `done`; all arrays have the shape (rows,)."""
    return expected_improvement(speedups, speedups[done], feasible[done], least)


def mean_improvement(
    feasible: np.ndarray, improvement: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The expected improvement by each row, over the worlds of what running trials measure.

    Args:
        feasible: the probability that a row is feasible, shape (worlds, rows).
        improvement: from these probabilities in one world, by how much each row improves the result
            if it is feasible; both of shape (rows,).
    """
    mean: np.ndarray = np.mean([each * improvement(each) for each in feasible], axis=0)
    return mean


def hypervolume_improvement(
    speedups: np.ndarray, losses: np.ndarray, points: Sequence[Point], limit: float
) -> np.ndarray:
    """The area under the limit that each setting would add to that of the measured `points`.

    `speedups` has the shape (settings,); `losses`, and what is returned, (settings, losses), where
    a setting has several losses that it may turn out to have.
    """
    improvement = np.zeros_like(losses)
    left = 1.0
    for speedup, loss in [*reversed(staircase(points)), (float("inf"), limit)]:
        width = np.clip(np.minimum(speedups, speedup) - left, 0, None)[:, None]
        improvement += width * np.clip(min(loss, limit) - losses, 0, None)
        left = speedup
    return improvement
