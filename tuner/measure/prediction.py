"""What is expected of a setting's speedup before it is timed, and what timing adds to that.

The latency model of a search (`tuner.search.frontier.speed_model`) predicts the speedup of a
setting from the timed steps of others, mostly to one or two per cent. One pair of batches, timed
interleaved, is about as certain. Together they are a normal posterior of the logarithm of the
speedup; pairs that contradict the prediction replace it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import median, variance

from tuner.measure.statistics import CONFIDENCE, Estimate

WIDTH = 1.96  # standard deviations in half a 95% interval
GUESS = 0.05  # a spread from which on a prediction says nothing about how good others are
CONTRADICTION = 2.5  # standard deviations between the prediction and the pairs
MOST_DEVIATION = 0.1  # of a pair from its prediction, that counts
MEDIAN = 1.25  # the standard error of a median of normal values over that of their mean


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A predicted speedup, and the standard deviation of its logarithm.

    Where enough predictions like it were right, not each needs a `pair` that confirms it.
    """

    speedup: float
    spread: float
    pair: bool = True

    @property
    def claimed(self) -> float | None:
        """The speedup that is compared with what is timed then; None for a mere guess."""
        return self.speedup if self.spread <= GUESS else None

    def combined(self, ratios: Sequence[float], scatter: float) -> Estimate:
        """The speedup by the prediction and the ratios of timed pairs.

        `scatter` is the standard deviation of the logarithm of one pair's ratio.
        """
        centre, precision = log(self.speedup), self.spread**-2
        if ratios:
            weight = _error(len(ratios), scatter) ** -2
            centre = (centre * precision + _centre(ratios) * weight) / (precision + weight)
            precision += weight
        half = WIDTH / sqrt(precision)
        return Estimate(value=exp(centre), low=exp(centre - half), high=exp(centre + half))

    def is_contradicted(self, ratios: Sequence[float], scatter: float) -> bool:
        """Whether timed pairs are further from the prediction than both errors explain."""
        if not ratios:
            return False
        error = sqrt(self.spread**2 + _error(len(ratios), scatter) ** 2)
        return abs(_centre(ratios) - log(self.speedup)) > CONTRADICTION * error


def of_few(ratios: Sequence[float], scatter: float) -> Estimate:
    """The speedup by a few pairs, whose own scatter says little.

    `scatter` is the standard deviation of the logarithm of one pair's ratio on this machine. It
    counts as so many observed deviations, together with those of the pairs: a moderated t interval
    (Smyth, 2004, Statistical Applications in Genetics and Molecular Biology 3).
    """
    from scipy.stats import t as student

    known, own = Scatter.WEIGHT, len(ratios) - 1
    pooled = (known * scatter**2 + own * variance(map(log, ratios))) / (known + own)
    width = float(student.ppf(0.5 + CONFIDENCE / 2, known + own))
    centre, half = _centre(ratios), width * _error(len(ratios), sqrt(pooled))
    return Estimate(value=exp(centre), low=exp(centre - half), high=exp(centre + half))


def _centre(ratios: Sequence[float]) -> float:
    return log(median(ratios))


def _error(count: int, scatter: float) -> float:
    """The standard error of the median of so many logarithms."""
    return scatter * (MEDIAN if count > 2 else 1.0) / sqrt(count)


class Scatter:
    """How much the ratios of timed pairs of one setting scatter on this machine."""

    FIRST = 0.03  # what is assumed before any two pairs of a setting were timed
    WEIGHT = 4  # how many observed deviations the assumption counts as

    def __init__(self) -> None:
        self._sum = self.WEIGHT * self.FIRST**2
        self._count = self.WEIGHT

    def add(self, ratios: Sequence[float], predicted: float | None = None) -> None:
        """Learn from the last of a setting's ratios how far it is from those before.

        From a first one how far it is from the `predicted` speedup: half of the squared deviation
        counts, because either may be off.
        """
        *before, last = map(log, ratios)
        if before:
            deviation = last - sum(before) / len(before)
            self._sum += deviation**2 * len(before) / (len(before) + 1)
            self._count += 1
        elif predicted is not None:
            self._sum += min(MOST_DEVIATION, abs(last - log(predicted))) ** 2 / 2
            self._count += 1

    @property
    def value(self) -> float:
        """The standard deviation of the logarithm of a ratio."""
        return sqrt(self._sum / self._count)
