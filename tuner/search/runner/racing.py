"""When a trial is certain to fail, although it has not had all its prompts (a sequential test).

The verdict on a trial depends on its mean loss over n prompts. After k of them, in random order,
that mean lies in a t interval with the finite-population correction; once even the lower end is
over the limit, the remaining prompts cannot change the verdict.

Each interim look may err, and the errors add up. So there are at most seven looks, one after
each eighth of the prompts but the last, whatever the batches are, each at such a certainty that
at most 3% of the trials that would keep a limit with all their prompts are stopped, however near
to the limit the true loss is (`bench.search.racing`). The same certainty at every look (Pocock,
1977, Biometrika 64) stops bad settings soonest; looks that are stricter at first (O'Brien and
Fleming, 1979, Biometrics 35) cost more.
"""

import numpy as np
from scipy.stats import t as student

from tuner.measure.statistics import CONFIDENCE, Estimate

PARTS = 8  # of a trial's prompts, with one look in each
MISSED = 0.99  # one-sided, at each look: seven of them err in under 2% of trials at the limit
BEHIND = 0.999  # that a rival is ahead; stricter: a setting of the front may be barely better
LEAST = 4  # prompts before the first look


def is_look_due(before: int, count: int, total: int) -> bool:
    """Whether a look is due after `count` prompts; `before` is the count at the last answer."""
    return count * PARTS // total > before * PARTS // total


def certain_to_miss(limits: int) -> float:
    """The certainty needed at a look to stop for any one of so many limits (Bonferroni)."""
    return 1 - (1 - MISSED) / limits


def over_all_prompts(
    estimate: Estimate, count: int, total: int, certainty: float = MISSED
) -> Estimate:
    """The interval of the mean over all `total` prompts, from that over `count` of them.

    Unbounded below `LEAST` prompts.
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
    if count < 2:  # the interval is unbounded
        return estimate
    return _scaled(estimate, _wider(count, certainty))


def _drawn_in(estimate: Estimate) -> Estimate:
    """The interval with the end opposite to the skew moved towards the mean.

    A mean that a few prompts dominate is often underestimated by a sample, and hardly ever
    overestimated. Hall's transformation (1992) therefore moves one end out and the other in;
    `tuner.measure.statistics` does only the first. The cube root of the ratio of the ends'
    distances from the mean approximates the second.
    """
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    ratio = (below + 1e-12) / (above + 1e-12)
    return Estimate(
        value=estimate.value,
        low=estimate.value - below * np.minimum(1, ratio) ** (1 / 3),
        high=estimate.value + above * np.minimum(1, 1 / ratio) ** (1 / 3),
    )


def _wider(count: int, certainty: float) -> float:
    """The factor from the half width of a 95% interval to that of a one-sided certainty."""
    usual = 0.5 + CONFIDENCE / 2
    return float(student.ppf(certainty, count - 1) / student.ppf(usual, count - 1))


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    value = estimate.value
    return Estimate(
        value=value,
        low=value - factor * (value - estimate.low),
        high=value + factor * (estimate.high - value),
    )
