"""What one setting more would be worth: in feasible speedup, or in the area under the front."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

SPREAD = 0.01  # of predicted speedups around the measured ones
Point = tuple[float, float]  # speedup and loss


def staircase(points: Sequence[Point]) -> list[Point]:
    """From the fastest on, the points that lose less than all that are at least as fast."""
    found: list[Point] = []
    for speedup, loss in sorted(points, key=lambda one: (-one[0], one[1])):
        if not found or loss < found[-1][1]:
            found.append((speedup, loss))
    return found


def expected_gain(
    speedups: np.ndarray, measured: np.ndarray, feasible: np.ndarray, least: float = 1.0
) -> np.ndarray:
    """By how much a feasible setting would be expected to beat the best one so far.

    Which of the measured ones are feasible is known only with a probability; what is as fast as
    `least`, the baseline, surely is.
    """
    order = np.argsort(-measured)
    best = np.maximum(np.append(measured[order], least), least)
    probability = np.append(feasible[order], 1.0)
    is_best = probability * np.cumprod(np.append(1.0, 1 - probability[:-1]))
    matters = is_best > 1e-9  # of many that were measured, a few
    best, is_best = best[matters], is_best[matters]
    deviation = SPREAD * speedups[:, None]
    above = (speedups[:, None] - best) / deviation
    gain = deviation * (above * norm.cdf(above) + norm.pdf(above))
    found: np.ndarray = gain @ is_best
    return found


def area_gains(
    speedups: np.ndarray, losses: np.ndarray, points: Sequence[Point], limit: float
) -> np.ndarray:
    """The area under the limit that each setting would add to that of points already there.

    At each of its losses: the shape of both is (settings, losses).
    """
    gains = np.zeros_like(losses)
    left = 1.0
    for speedup, loss in [*reversed(staircase(points)), (float("inf"), limit)]:
        width = np.clip(np.minimum(speedups, speedup) - left, 0, None)[:, None]
        gains += width * np.clip(min(loss, limit) - losses, 0, None)
        left = speedup
    return gains
