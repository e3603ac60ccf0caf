"""The acquisition: how much one more setting is expected to improve the result."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtr

SPREAD = 0.01  # relative standard deviation of predicted speedups around the measured ones
FAR = 9.0  # standard deviations; what is beyond them is below the precision of a float
AT_ONCE = 64  # settings of similar speedups
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
    best, is_best = best[matters][::-1], is_best[matters][::-1]  # slowest first
    # Over those that are slower by far the gain is the difference, and over faster ones it is zero.
    slower = np.append(0.0, np.cumsum(is_best)), np.append(0.0, np.cumsum(best * is_best))
    expected = np.zeros(len(speedups))
    for part in np.array_split(np.argsort(speedups), len(speedups) // AT_ONCE + 1):
        speedup = speedups[part]
        reach = FAR * SPREAD * speedup.max(initial=0.0)
        first = np.searchsorted(best, speedup.min(initial=np.inf) - reach)
        last = np.searchsorted(best, speedup.max(initial=0.0) + reach)
        deviation = SPREAD * speedup[:, None]
        above = (speedup[:, None] - best[first:last]) / deviation
        density = np.exp(-(above**2) / 2) / np.sqrt(2 * np.pi)
        gain = deviation * (above * ndtr(above) + density)
        expected[part] = gain @ is_best[first:last]
        expected[part] += speedup * slower[0][first] - slower[1][first]
    return expected


def improvement_over(
    speedups: np.ndarray,
    done: Sequence[int],
    rows: np.ndarray,
    feasible: np.ndarray,
    least: float = 1.0,
) -> np.ndarray:
    """`expected_improvement` of these `rows` over the rows `done`, shape (rows,)."""
    return expected_improvement(speedups[rows], speedups[done], feasible[done], least)


def mean_improvement(
    feasible: np.ndarray, rows: np.ndarray, improvement: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The expected improvement by each of these rows, over the worlds of running trials.

    Args:
        feasible: the probability that a row is feasible, shape (worlds, all rows).
        rows: the numbers of rows.
        improvement: from these probabilities in one world, shape (all rows,), by how much each of
            `rows` improves the result if it is feasible, shape (rows,).
    """
    mean: np.ndarray = np.mean([each[rows] * improvement(each) for each in feasible], axis=0)
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
