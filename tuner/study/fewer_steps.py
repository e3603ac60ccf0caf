"""What acceleration buys over fewer steps at the same speed, from a study's reference rows.

Between two measured numbers of steps the loss of fewer steps is interpolated, linearly in the
latency, to which the number of steps is proportional: so it is monotone there, and for a whole
number of steps between them it is the loss on the straight line. Beyond the measured rows nothing
is said. The baseline, 1× and a loss of 0, is the slowest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from tuner.formatting import count, percent_with_interval, times
from tuner.measure.statistics import Estimate
from tuner.study.reference import ReferenceRow
from tuner.study.results import Result

NO_LOSS = Estimate(value=0.0, low=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A result and fewer steps at its speedup.

    The result's loss is that of its verification, where it has one: the best of many trials seems
    better than it is.
    """

    result: Result
    steps: tuple[int, int]  # the measured numbers of steps around that speedup
    fewer_steps: Estimate  # their score loss at that speedup
    acceleration: Estimate  # the result's score loss
    difference: Estimate  # the loss of fewer steps, less that of the result
    predicted: bool  # whether the speedup of fewer steps is predicted

    def __str__(self) -> str:
        """In one sentence."""
        few, many = self.steps
        steps = count(few, "step") if few == many else f"{few} to {many} steps"
        lose = "loses" if few == many == 1 else "lose"
        verified = " when verified" if self.result.verified is not None else ""
        predicted = " at a predicted speedup" if self.predicted else ""
        return (
            f"at the same speed, {times(self.result.speedup.value)}, {self.result.setting} loses "
            f"{percent_with_interval(self.acceleration)}{verified}, and {steps} without an "
            f"accelerator {lose} {percent_with_interval(self.fewer_steps)}{predicted}; "
            f"{self._verdict}"
        )

    @property
    def _verdict(self) -> str:
        """Who loses less, by how much, and whether that is certain."""
        gain = self.difference  # of acceleration over fewer steps
        if gain.value < 0:
            gain = Estimate(value=-gain.value, low=-gain.high, high=-gain.low)
        better = "acceleration loses" if self.difference.value >= 0 else "fewer steps lose"
        text = (
            f"{better} {100 * gain.value:.2f} percentage points less "
            f"({100 * gain.low:.2f} … {100 * gain.high:.2f})"
        )
        if gain.low > 0:
            return text
        return f"{text}, but this is not certain: either may be better"


def comparison(result: Result, rows: Sequence[ReferenceRow], steps: int) -> Comparison | None:
    """A result compared with fewer steps at its speedup; None where the rows do not bracket that.

    Args:
        result: timed under the current latency key.
        rows: the study's reference rows; those that are not current are ignored.
        steps: of the baseline.
    """
    curve = [(1.0, NO_LOSS, steps)]
    curve += [(row.speedup.value, row.score_loss, row.steps) for row in rows if row.current]
    curve.sort(key=lambda point: point[0])
    speedup = result.speedup.value
    slower = [point for point in curve if point[0] <= speedup]
    faster = [point for point in curve if point[0] >= speedup]
    if not slower or not faster:
        return None
    (low, low_loss, many), (high, high_loss, few) = slower[-1], faster[0]
    weight = 0.0 if high == low else (1 / low - 1 / speedup) / (1 / low - 1 / high)
    measured = result if result.verified is None else result.verified
    fewer = _between(low_loss, high_loss, weight)
    return Comparison(
        result=result,
        steps=(few, many) if few <= many else (many, few),
        fewer_steps=fewer,
        acceleration=measured.score_loss,
        difference=_difference(fewer, measured.score_loss),
        predicted=any(row.is_predicted for row in rows if row.steps in (few, many)),
    )


def fewer_steps_sentence(
    best: Result | None, rows: Sequence[ReferenceRow], steps: int
) -> str | None:
    """What acceleration buys over fewer steps, in one sentence about the best result.

    None where no row was measured, or there is no such result.

    Args:
        best: of those that were timed under the current latency key.
        rows: the study's reference rows.
        steps: of the baseline.
    """
    current = [row for row in rows if row.current]
    if best is None or not current:
        return None
    compared = comparison(best, current, steps)
    if compared is not None:
        return str(compared)
    fastest = max(current, key=lambda row: row.speedup.value)
    return (
        f"the plain pipeline was measured with {count(fastest.steps, 'step')} "
        f"({times(fastest.speedup.value)}) and more, so that it cannot be compared with "
        f"{best.setting} at {times(best.speedup.value)}"
    )


def _between(first: Estimate, second: Estimate, weight: float) -> Estimate:
    """A point of the straight line between two estimates, with the interval between theirs.

    That is too wide rather than too narrow: it would be exact if both erred alike.
    """
    ends = ((first.value, second.value), (first.low, second.low), (first.high, second.high))
    value, low, high = ((1 - weight) * a + weight * b if a != b else a for a, b in ends)
    return Estimate(value=value, low=low, high=high)


def _difference(first: Estimate, second: Estimate) -> Estimate:
    """First less second, with the interval of Zou and Donner (2008) from both intervals.

    It is that of independent estimates, and too wide where both were measured on the same prompts.
    """
    value = first.value - second.value
    below = hypot(first.value - first.low, second.high - second.value)
    above = hypot(first.high - first.value, second.value - second.low)
    return Estimate(value=value, low=value - below, high=value + above)
