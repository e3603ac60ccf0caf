"""Which numbers of steps bracket the speedups of a front: a few, not all of them.

Two numbers are just slower and just faster than the fastest setting, one is near the slowest
setting, and one is in the widest gap that is left.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor, sqrt

FEW = 4  # numbers of steps that are usually enough
MOST = 6  # numbers that are tried at most, where latencies were estimated badly or some failed
MARGIN = 1.02  # by which the rows should enclose the speedups, because latencies are estimated
NEAR = 0.1  # of the baseline's steps: numbers that differ by no more are as good
WIDE = 1.6  # a greater ratio of two neighbouring numbers leaves a wide gap


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """The speedups to bracket, and the numbers of steps that were tried.

    A latency is estimated from the number of steps: the share of the baseline's latency that is
    denoising is proportional to it.
    """

    steps: int  # of the baseline
    denoising_share: float
    slowest: float  # the lowest speedup to bracket
    fastest: float
    measured: Mapping[int, float]  # number of steps -> its speedup
    failed: Collection[int] = field(default=())

    def next_number(self) -> int | None:
        """The number of steps to measure next; None once the speedups are bracketed."""
        if len({*self.measured, *self.failed}) >= MOST:
            return None
        numbers: list[int | None] = [*self._around_the_fastest()]
        if len(self.measured) < FEW:
            numbers += [self._near_the_slowest(), self._in_a_gap()]
        for number in numbers:
            usable = self._usable(number)
            if usable is not None and usable not in self.measured:
                return usable
        return None

    def speedup_of(self, number: int) -> float:
        """The estimated speedup of a number of steps."""
        share = self.denoising_share
        return 1 / (1 - share + share * number / self.steps)

    def _around_the_fastest(self) -> list[int]:
        """Numbers just faster and just slower than the fastest setting, where they are missing."""
        faster = floor(self._steps_at(self.fastest * MARGIN))
        slower = ceil(self._steps_at(self.fastest / MARGIN))
        as_fast = [n for n, speedup in self._known.items() if speedup >= self.fastest]
        as_slow = [n for n, speedup in self._known.items() if speedup <= self.fastest]
        gap = max(self._near, slower - faster)
        if as_fast and min(as_slow) - max(as_fast) <= gap:
            return []
        # Where the estimate was wrong, one step further than what was measured.
        further = max(as_fast) + 1 if as_fast else min(self._known) - 1
        return [faster, slower, further]

    def _near_the_slowest(self) -> int | None:
        number = self._usable(ceil(self._steps_at(self.slowest / MARGIN)))
        if number is None or any(abs(number - known) <= self._near for known in self._known):
            return None
        return number

    def _in_a_gap(self) -> int | None:
        """A number in the widest gap between two known ones, if that is wide."""
        gaps = [(high / low, low) for low, high in pairwise(sorted(self._known))]
        ratio, low = max(gaps, default=(1.0, 0))
        return round(low * sqrt(ratio)) if ratio > WIDE else None

    def _steps_at(self, speedup: float) -> float:
        """How many steps have a speedup; a fraction, and below 1 where no number is so fast."""
        rest = 1 - self.denoising_share
        return self.steps * (1 / speedup - rest) / self.denoising_share

    def _usable(self, number: int | None) -> int | None:
        """The number, or the next lower one that did not fail; None if there is none."""
        if number is None:
            return None
        number = min(max(number, 1), self.steps - 1)
        while number in self.failed:
            number -= 1
        return number or None

    @property
    def _known(self) -> dict[int, float]:
        """The speedups of what was measured, and of the baseline."""
        return {self.steps: 1.0, **self.measured}

    @property
    def _near(self) -> int:
        return max(1, round(NEAR * self.steps))
