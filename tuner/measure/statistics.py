"""Intervals for the figures of a trial: speedup, score loss and those beside them.

scipy is imported by what computes: an `Estimate` is read, as by `tuner show`, without it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CONFIDENCE = 0.95
SKEWED = 8  # the fewest values that show a skew
SIGNED_RANKS = 6  # the fewest values of which signed ranks can tell 95 %


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval; an infinite interval says that there is too little data."""

    value: float
    low: float
    high: float


def score_loss(baseline: list[float], scores: list[float]) -> Estimate:
    """1 − Σ score / Σ baseline over the same prompts and noise, with its interval.

    The interval is that of a ratio of sums (linearised): the spread of d − loss·b over the
    prompts, where d is a prompt's difference and b its baseline score. It is a t interval, with
    the end towards which a few prompts stand out drawn further (`_drawn_out`).
    """
    before, after = np.asarray(baseline, float), np.asarray(scores, float)
    loss = float(1 - after.sum() / before.sum())
    return _around(loss, (before - after) - loss * before, float(before.mean()))


def mean(values: list[float]) -> Estimate:
    """The mean, with an interval as that of a loss."""
    found = np.asarray(values, float)
    return _around(float(found.mean()), found, 1.0)


def speedup(ratios: list[float]) -> Estimate:
    """The median of paired latency ratios, with an interval on their logarithms.

    From six pairs on it is Wilcoxon's: the logarithms of ratios that were taken by turns lie evenly
    about the truth, and one batch that was held up does not widen it. Fewer pairs have a t interval
    with the median's error, √(π/2) times the mean's. Pairs are added until it is narrow, and it
    covers even so (`bench.speed.speedups`), which a t interval with the mean's error does not.
    """
    logs = np.log(np.asarray(ratios, float))
    middle = float(np.median(logs))
    if len(logs) >= SIGNED_RANKS:
        low, high = _signed_rank(logs)
        spread = Estimate(value=middle, low=min(low, middle), high=max(high, middle))
    else:
        spread = _around(middle, logs - logs.mean(), (2 / np.pi) ** 0.5)
    return Estimate(
        value=float(np.exp(middle)), low=float(np.exp(spread.low)), high=float(np.exp(spread.high))
    )


def _signed_rank(values: np.ndarray) -> tuple[float, float]:
    """The interval of the centre that Wilcoxon's signed-rank test does not reject."""
    first, second = np.triu_indices(len(values))
    means = np.sort((values[first] + values[second]) / 2)
    outside = _signed_rank_quantile(len(values))
    return float(means[outside]), float(means[-1 - outside])


@lru_cache(maxsize=64)
def _signed_rank_quantile(count: int) -> int:
    """The greatest rank sum that is as rare as one tail may be, or rarer."""
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
    probability = ways.cumsum() / ways.sum()
    return int(np.searchsorted(probability, (1 - CONFIDENCE) / 2, side="right")) - 1


def share(found: list[bool]) -> Estimate:
    """A share of successes, with the exact (Clopper-Pearson) interval."""
    from scipy.stats import beta

    count, successes = len(found), sum(found)
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, successes, count - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, count - successes)) if successes < count else 1.0
    return Estimate(value=successes / count, low=low, high=high)


def _around(value: float, residuals: np.ndarray, scale: float) -> Estimate:
    from scipy.stats import t as student

    count = len(residuals)
    if count < 2:
        return Estimate(value=value, low=float("-inf"), high=float("inf"))
    error = float(residuals.std(ddof=1)) / scale / count**0.5
    half = float(student.ppf(0.5 + CONFIDENCE / 2, count - 1))
    below, above = _drawn_out(half, residuals) if count >= SKEWED else (half, half)
    return Estimate(value=value, low=value - below * error, high=value + above * error)


def _drawn_out(half: float, residuals: np.ndarray) -> tuple[float, float]:
    """A t interval's two halves, in standard errors; the one on the side of a skew is longer.

    A loss that a few prompts make is mostly drawn without them, and a t interval then lies below
    it. The longer end is that of Hall's cubic transformation (1992); no end is drawn in.
    """
    deviation = float(residuals.std())
    if deviation == 0:
        return half, half
    cube = float(((residuals - residuals.mean()) ** 3).mean()) / deviation**3
    skew = cube / len(residuals) ** 0.5
    if abs(skew) < 1e-6:
        return half, half
    below, above = (3 / skew * (np.cbrt(1 + skew * (end - skew / 6)) - 1) for end in (half, -half))
    return max(half, float(below)), max(half, -float(above))
