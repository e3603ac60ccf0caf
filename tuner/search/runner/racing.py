"""Stopping a trial whose verdict is certain: the mean over a fixed set of prompts, part by part.

A trial is judged by the loss over its n prompts. After k of them in random order the mean over
all n is known up to a t interval with the finite population's factor; when even its lower end is
over the limit, the other prompts change nothing.

Each look may err, and the errors of all looks add up. So a trial is looked at seven times at most,
once in each eighth of its prompts, whatever its batches are, and a look is so certain that all of
them together keep a promise: of the trials that would keep a limit with all their prompts, at most
3 % are stopped, however near to the limit the true loss is (`bench.search.racing`). The same
certainty at every look (Pocock, 1977, Biometrika 64) stops bad settings soonest; looks that are
stricter at first (O'Brien and Fleming, 1979, Biometrics 35) cost more.
"""

import numpy as np
from scipy.stats import t as student

from tuner.measure.statistics import CONFIDENCE, Estimate

PARTS = 8  # of a trial's prompts, with one look in each
MISSED = 0.99  # one-sided, at each look: seven of them err in under 2 % of trials at the limit
BEHIND = 0.999  # and that a rival is ahead: what is on the front may be little better than that
LEAST = 4  # prompts before the first look


def is_look_due(before: int, count: int, total: int) -> bool:
    """Whether a trial is to be looked at after `count` of its prompts; `before`: after the last."""
    return count * PARTS // total > before * PARTS // total


def certain_to_miss(limits: int) -> float:
    """How certain it must be at a look that one of so many limits is missed (Bonferroni)."""
    return 1 - (1 - MISSED) / limits


def over_all_prompts(
    estimate: Estimate, count: int, total: int, certainty: float = MISSED
) -> Estimate:
    """What the mean over all `total` prompts can be, from that over `count` of them.

    Anything before there is enough to tell.
    """
    value = estimate.value
    if count >= total:
        return Estimate(value=value, low=value, high=value)
    if count < LEAST:
        return Estimate(value=value, low=float("-inf"), high=float("inf"))
    factor = _wider(count, certainty) * (1 - count / total) ** 0.5
    return _scaled(_drawn_in(estimate), factor)


def at_certainty(estimate: Estimate, count: int, certainty: float) -> Estimate:
    """The interval of a mean over `count` prompts at another, one-sided certainty."""
    if count < 2:  # it is without end
        return estimate
    return _scaled(estimate, _wider(count, certainty))


def _drawn_in(estimate: Estimate) -> Estimate:
    """The interval with the end that lies away from a skew drawn in.

    A mean that a few prompts make great is often drawn too small, and hardly ever too great. Hall's
    transformation (1992) therefore draws one end out and the other in; `tuner.measure.statistics`
    does only the first. The cube root of the ends' ratio is about as much as the second.
    """
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    ratio = (below + 1e-12) / (above + 1e-12)
    return Estimate(
        value=estimate.value,
        low=estimate.value - below * np.minimum(1, ratio) ** (1 / 3),
        high=estimate.value + above * np.minimum(1, 1 / ratio) ** (1 / 3),
    )


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
