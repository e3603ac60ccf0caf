"""Stopping a trial whose verdict is certain: the mean over a fixed set of prompts, part by part.

A trial is judged by the loss over its n prompts. After k of them in random order the mean over
all n is known up to a t interval with the finite population's factor; when even its lower end is
over the limit, the other prompts change nothing.
"""

from scipy.stats import t as student

from tuner.measure.statistics import CONFIDENCE, Estimate

CERTAINTY = 0.99  # one-sided, at each look
LEAST = 4  # prompts before the first look


def least(estimate: Estimate, count: int, total: int) -> float:
    """The lower end of a mean over all `total` prompts, from that over `count` of them.

    Minus infinity before there is enough to tell.
    """
    return -greatest(_negative(estimate), count, total)


def greatest(estimate: Estimate, count: int, total: int) -> float:
    """The upper end, in the same way."""
    if count >= total:
        return estimate.value
    if count < LEAST:
        return float("inf")
    half = (estimate.high - estimate.low) / 2
    error = half / float(student.ppf(0.5 + CONFIDENCE / 2, count - 1))
    margin = float(student.ppf(CERTAINTY, count - 1)) * error * (1 - count / total) ** 0.5
    bound: float = estimate.value + margin
    return bound


def _negative(estimate: Estimate) -> Estimate:
    return Estimate(value=-estimate.value, low=-estimate.high, high=-estimate.low)
