"""Intervals for the figures of a trial: speedup, score loss and those beside them."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from scipy.stats import t as student

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval; an infinite interval says that there is too little data."""

    value: float
    low: float
    high: float


def score_loss(baseline: list[float], scores: list[float]) -> Estimate:
    """1 − Σ score / Σ baseline over the same prompts and noise, with a t interval.

    The interval is that of a ratio of sums (linearised): the spread of d − loss·b over the
    prompts, where d is a prompt's difference and b its baseline score.
    """
    before, after = np.asarray(baseline, float), np.asarray(scores, float)
    loss = float(1 - after.sum() / before.sum())
    return _around(loss, (before - after) - loss * before, float(before.mean()))


def mean(values: list[float]) -> Estimate:
    """The mean, with a t interval."""
    found = np.asarray(values, float)
    return _around(float(found.mean()), found, 1.0)


def speedup(ratios: list[float]) -> Estimate:
    """The median of paired latency ratios, with a t interval on their logarithms."""
    logs = np.log(np.asarray(ratios, float))
    middle = float(np.median(logs))
    spread = _around(middle, logs - logs.mean(), 1.0)
    return Estimate(
        value=float(np.exp(middle)), low=float(np.exp(spread.low)), high=float(np.exp(spread.high))
    )


def share(found: list[bool]) -> Estimate:
    """A share of successes, with the exact (Clopper-Pearson) interval."""
    count, successes = len(found), sum(found)
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, successes, count - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, count - successes)) if successes < count else 1.0
    return Estimate(value=successes / count, low=low, high=high)


def _around(value: float, residuals: np.ndarray, scale: float) -> Estimate:
    count = len(residuals)
    if count < 2:
        return Estimate(value=value, low=float("-inf"), high=float("inf"))
    error = float(residuals.std(ddof=1)) / scale / count**0.5
    half = float(student.ppf(0.5 + CONFIDENCE / 2, count - 1)) * error
    return Estimate(value=value, low=value - half, high=value + half)
