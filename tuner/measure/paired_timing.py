"""Pairs of batches, one of the baseline and one of a setting, until the speedup is known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from tuner.measure.interleave import Way, interleaved, one_by_one, twin_of
from tuner.measure.stopwatch import Seconds, Turns
from tuner.setting import Setting


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """How pairs are generated: `least` of them, and `most` where ±`precision` takes as many.

    `one` generates a batch, given a setting, the prompts' numbers, with whom to take turns and the
    pipeline, and gives back the pictures and their seconds.
    """

    one: Callable[..., tuple[Any, Seconds]]
    pipeline: Any
    device: str
    batches: Sequence[range]  # full ones, which are timed again and again
    least: int
    most: int
    precision: float  # a share of the speedup

    @cached_property
    def baseline_is_warm(self) -> bool:
        """Generates a batch of the baseline, once: its kept figures need none in this process."""
        self.one(Setting(), self.batches[0])
        return True

    def pair(
        self, setting: Setting, numbers: range, turns: Turns, way: Way | None = None
    ) -> tuple[Any, Turns]:
        """One pair more, and the setting's pictures; each comes first every other time.

        On a CPU the two take their steps by turns, which cancels most of what a shared host does
        to them. A GPU is given one batch after the other: the host runs ahead of it, and a wait
        before each step would make the short ones longer than they are.
        """
        way = way or (interleaved if self.device == "cpu" else one_by_one)
        apart = self._twin if way is interleaved else self.pipeline
        jobs = [
            partial(self.one, Setting(), numbers, pipeline=apart),
            partial(self.one, setting, numbers),
        ]
        if len(turns.ratios) % 2:
            (output, after), (_, before) = way(jobs[::-1])
        else:
            (_, before), (output, after) = way(jobs)
        return output, turns.plus(before, after)

    def enough(self, turns: Turns) -> bool:
        """Whether the speedup is known well enough, or no more pairs may be spent on it."""
        done = len(turns.ratios)
        return done >= self.most or (done >= self.least and turns.enough(self.precision))

    def until_known(self, setting: Setting, turns: Turns, most: int | None = None) -> Turns:
        """With as many pairs more as make the speedup known well enough."""
        while len(turns.ratios) < (most or self.most) and not self.enough(turns):
            numbers = self.batches[len(turns.ratios) % len(self.batches)]
            _, turns = self.pair(setting, numbers, turns)
        return turns

    def known(self, setting: Setting, turns: Turns) -> Iterator[Turns]:
        """The turns with the least pairs, and then with as many as it needs, where that is more."""
        turns = self.until_known(setting, turns, self.least)
        yield turns
        if not self.enough(turns):
            yield self.until_known(setting, turns)

    def steps(self, setting: Setting) -> tuple[Seconds, Seconds]:
        """What each step of one batch takes, after a warm-up: without the setting and with."""
        numbers = self.batches[0]
        self.one(setting, numbers)
        _, turns = self.pair(setting, numbers, Turns(kept_s=1.0, batch_size=len(numbers)))
        return turns.without[0], turns.accelerated[0]

    @cached_property
    def _twin(self) -> Any:
        return twin_of(self.pipeline)
