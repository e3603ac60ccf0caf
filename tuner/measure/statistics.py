"""Confidence intervals for the figures of a trial: speedup, score loss and extra metrics.

scipy is imported by the functions that compute, so that it is not needed to read an `Estimate`, as
`tuner show` does.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CONFIDENCE = 0.95
SKEWED = 8  # the fewest values whose skewness is taken into account
SIGNED_RANKS = 6  # the fewest values for which signed ranks give a 95% interval


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure and its 95% interval, which is infinite where there is too little data."""

    value: float
    low: float
    high: float


def half_width(estimate: Estimate) -> float:
    """Half the interval's width, as a share of the value."""
    return (estimate.high - estimate.low) / 2 / estimate.value


def score_loss(baseline: list[float], scores: list[float]) -> Estimate:
    """1 − Σ score / Σ baseline over the same prompts and noise, with its interval.

    Both lists have one score for each prompt, in the same order. The interval is that of a ratio of
    sums (linearised): the spread of d − loss·b over the prompts, where d is a prompt's difference
    and b its baseline score. It is a t interval, longer on the side of a skew (`_half_widths`).
    """
    before, after = np.asarray(baseline, float), np.asarray(scores, float)
    loss = float(1 - after.sum() / before.sum())
    return _around(loss, (before - after) - loss * before, float(before.mean()))


def mean(values: list[float]) -> Estimate:
    """The mean, with the same kind of interval as a score loss."""
    array = np.asarray(values, float)
    return _around(float(array.mean()), array, 1.0)


def speedup(ratios: list[float]) -> Estimate:
    """The median of paired latency ratios, with an interval on their logarithms.

    From six pairs on, it is that of Wilcoxon's signed-rank test: the logarithms of interleaved
    ratios are distributed symmetrically about the true value, and one delayed batch does not widen
    the interval. Fewer pairs get a t interval with the median's standard error, √(π/2) times the
    mean's. Pairs are added until the interval is narrow; this one keeps its coverage all the same
    (`bench.speed.speedups`), while a t interval with the mean's error does not.
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
    """The interval of centres that Wilcoxon's signed-rank test does not reject."""
    first, second = np.triu_indices(len(values))
    means = np.sort((values[first] + values[second]) / 2)
    excluded = _signed_rank_quantile(len(values))
    return float(means[excluded]), float(means[-1 - excluded])


@lru_cache(maxsize=64)
def _signed_rank_quantile(count: int) -> int:
    """How many of the sorted pairwise means lie outside the interval, at each end."""
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
    probability = ways.cumsum() / ways.sum()
    return int(np.searchsorted(probability, (1 - CONFIDENCE) / 2, side="right")) - 1


def share(outcomes: list[bool]) -> Estimate:
    """The share of successes, with the exact (Clopper-Pearson) interval."""
    from scipy.stats import beta

    count, successes = len(outcomes), sum(outcomes)
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, successes, count - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, count - successes)) if successes < count else 1.0
    return Estimate(value=successes / count, low=low, high=high)


def _around(value: float, residuals: np.ndarray, scale: float) -> Estimate:
    """An estimate whose standard error is that of the residuals' mean over `scale`."""
    from scipy.stats import t as student

    count = len(residuals)
    if count < 2:
        return Estimate(value=value, low=float("-inf"), high=float("inf"))
    error = float(residuals.std(ddof=1)) / scale / count**0.5
    half = float(student.ppf(0.5 + CONFIDENCE / 2, count - 1))
    below, above = _half_widths(half, residuals) if count >= SKEWED else (half, half)
    return Estimate(value=value, low=value - below * error, high=value + above * error)


def _half_widths(half: float, residuals: np.ndarray) -> tuple[float, float]:
    """The interval's widths below and above the value, in standard errors: a t interval's or more.

    A loss that is due to a few prompts is underestimated by most samples, which do not contain
    them, and a t interval then lies below it. So the side of the skew is as long as Hall's cubic
    transformation (1992) makes it; the other side is not shortened.
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
