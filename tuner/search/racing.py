"""Stopping a trial whose verdict is certain: the mean over a fixed set of prompts, part by part.

A trial is judged by the loss over its n prompts. After k of them in random order the mean over
all n is known up to a t interval with the finite population's factor; when even its lower end is
over the limit, the other prompts change nothing.
"""

from scipy.stats import t as student

from tuner.measure.statistics import CONFIDENCE, Estimate

MISSED = 0.96  # one-sided, at each look: certain enough that a limit is missed
BEHIND = 0.999  # and that a rival is ahead: what is on the front may be little better than that
LEAST = 4  # prompts before the first look


def whole(estimate: Estimate, count: int, total: int, certainty: float = MISSED) -> Estimate:
    """What the mean over all `total` prompts can be, from that over `count` of them.

    Anything before there is enough to tell.
    """
    value = estimate.value
    if count >= total:
        return Estimate(value=value, low=value, high=value)
    if count < LEAST:
        return Estimate(value=value, low=float("-inf"), high=float("inf"))
    return _scaled(estimate, _wider(count, certainty) * (1 - count / total) ** 0.5)


def surer(estimate: Estimate, count: int, certainty: float) -> Estimate:
    """The interval of a mean over `count` prompts at another, one-sided certainty."""
    if count < 2:  # it is without end
        return estimate
    return _scaled(estimate, _wider(count, certainty))


def _wider(count: int, certainty: float) -> float:
    usual = 0.5 + CONFIDENCE / 2
    return float(student.ppf(certainty, count - 1) / student.ppf(usual, count - 1))


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    value = estimate.value
    return Estimate(
        value=value,
        low=value - factor * (value - estimate.low),
        high=value + factor * (estimate.high - value),
    )
