"""When a trial ends, decided after each batch of prompts.

Every setting is measured on the same number of prompts, the study's `num_samples`. A trial that may
belong to the front is also timed, unless it is certainly infeasible. With early stopping a trial
ends before that, when it is certain to miss a limit (`tuner.search.runner.racing`), or certain to
be behind a feasible setting of the same combination in both speed and loss: neither the front nor
the best of each combination can contain it. A trial that resolves an inconclusive setting
(`tuner.search.runner.resolve`), or verifies the winner, goes on while the interval of a figure
contains its limit, up to `max_samples`; but no longer than until it is certain on which side of the
limit the figure over all these prompts will be (stochastic curtailment, Lan, Simon and Halperin,
1982, Sequential Analysis 1).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tuner.iterators import closing
from tuner.limits import Limits
from tuner.measure.figures import Figures
from tuner.measure.measurement import Measurement
from tuner.measure.statistics import CONFIDENCE, Estimate
from tuner.search.runner.racing import (
    BEHIND,
    at_certainty,
    certain_to_miss,
    is_look_due,
    over_all_prompts,
)
from tuner.setting import Setting
from tuner.study.results import Result


class Answer(Enum):
    """What a trial should do after a batch of prompts."""

    GO_ON = "go on"
    ENOUGH = "enough"
    HOPELESS = "hopeless"  # certain to miss a limit
    BEATEN = "beaten"  # certain to be behind a rival

    @property
    def stops(self) -> bool:
        """Whether the trial ends before it has had all its prompts."""
        return self in (Answer.HOPELESS, Answer.BEATEN)


@dataclass(frozen=True, kw_only=True)
class StoppingRule:
    """When a trial of `setting` ends; `rivals` are the study's results so far."""

    limits: Limits
    samples: int | None = None  # prompts of every setting; all that are offered when None
    rivals: Sequence[Result] = ()
    stops_early: bool = False
    # Time every setting equally, also those that cannot be on the front.
    treats_all_alike: bool = False
    resolves: bool = False  # take more prompts while the verdict is inconclusive
    most: int | None = None  # prompts that a trial which resolves has at most, where it is known
    is_chosen: bool = False  # to be resolved: it matters, however fast it is and others are
    # Whether one that resolves misses the target, so that no further prompts are worth their cost.
    is_too_slow: Callable[[Any], bool] = lambda _: False
    setting: Setting = field(default_factory=Setting)
    trials_so_far: int = 1  # trials of the study, this one included

    def answer(self, measured: Measurement, before: int = 0) -> Answer:
        """What a trial should do, from the figures so far.

        `before` is the number of prompts at the last answer.
        """
        if self.samples is None:
            return Answer.GO_ON
        if measured.prompts < self.samples:
            look = self.stops_early and is_look_due(before, measured.prompts, self.samples)
            return self._early(measured) if look else Answer.GO_ON
        matters = self.is_chosen or (not self.treats_all_alike and self._matters(measured))
        if not matters or self.limits.surely_missed(measured.score_loss, measured.fidelity):
            return Answer.ENOUGH
        return Answer.ENOUGH if self._is_over(measured, before) else Answer.GO_ON

    def _is_over(self, measured: Measurement, before: int) -> bool:
        """Whether it needs no more prompts, nor pairs: those of what misses a limit do not matter.

        Which side of a limit it is on is known only where a trial resolves that.
        """
        if not self.settled(measured, before):
            return False
        missed = self.limits.missed(measured.score_loss.value, measured.fidelity)
        return measured.timed or (self.resolves and bool(missed))

    def settled(self, measured: Figures, before: int = 0) -> bool:
        """Whether the verdict needs no more prompts; its speedup may still have to be timed.

        `before` is the number of prompts at the last answer. One that is too slow goes on if it is
        fast enough once it is timed.
        """
        if not self.resolves or self.surely_kept(measured) or self.is_too_slow(measured):
            return True
        return self._is_look_due(measured, before) and self.decided(measured)

    def _is_look_due(self, measured: Figures, before: int) -> bool:
        """Whether to see if the verdict is decided; a setting that was only timed is seen again."""
        again = before == measured.prompts
        return again or (self.most is not None and is_look_due(before, measured.prompts, self.most))

    def ahead(self, measured: Figures) -> Result | None:
        """A rival that the trial is certain to be behind, whatever its other prompts show.

        The rival is certainly feasible and of the same combination; the whole interval of its
        speedup lies above the trial's, and it loses no more than the lower end of the trial's loss.
        """
        lowest_loss = self._over_all_prompts(measured.score_loss, measured, BEHIND).low
        for rival in self.rivals:
            if (
                rival.setting.combination == self.setting.combination
                and rival.speedup.low >= measured.speedup.high
                and rival.score_loss.value <= lowest_loss
                and self._surely_feasible(rival)
            ):
                return rival
        return None

    def _early(self, measured: Measurement) -> Answer:
        if self._hopeless(measured):
            return Answer.HOPELESS
        return Answer.GO_ON if self.ahead(measured) is None else Answer.BEATEN

    def _hopeless(self, measured: Figures) -> bool:
        """Whether it is certain to miss a limit, whatever its other prompts show."""
        certainty = certain_to_miss(1 + len(self.limits.others))
        return self.limits.surely_missed(
            *_each(measured, lambda figure: self._over_all_prompts(figure, measured, certainty))
        )

    def decided(self, measured: Figures) -> bool:
        """Whether more prompts, up to `most`, are certain to leave the verdict as it is."""
        most, certainty = self.most, self._certainty(measured)
        return most is not None and self.limits.sure(
            *_each(measured, lambda f: over_all_prompts(f, measured.prompts, most, certainty))
        )

    def _over_all_prompts(self, figure: Estimate, measured: Figures, certainty: float) -> Estimate:
        """The interval of a figure over all the prompts that a trial has without early stopping."""
        return over_all_prompts(
            figure, measured.prompts, self.samples or measured.prompts, certainty
        )

    def surely_kept(self, measured: Figures) -> bool:
        """Whether every limit is met for certain."""
        certainty = self._certainty(measured)
        return self.limits.surely_kept(
            *_each(measured, lambda figure: at_certainty(figure, measured.prompts, certainty))
        )

    def _certainty(self, measured: Figures) -> float:
        """How certain a verdict must be.

        The fastest of many may seem feasible by luck, and must be more certain: the error rate of 1
        in 40 is divided by the number of settings that were tried (Bonferroni).
        """
        fastest = not any(
            rival.speedup.value >= measured.speedup.value
            for rival in self.rivals
            if self._surely_feasible(rival)
        )
        return 1 - (1 - CONFIDENCE) / 2 / (self.trials_so_far if fastest else 1)

    def _surely_feasible(self, rival: Result) -> bool:
        met = self.limits.surely_kept(rival.score_loss, rival.fidelity)
        return met and rival.feasible(self.limits)

    def _matters(self, measured: Figures) -> bool:
        """Whether it would be on the front if it were feasible.

        The baseline is on the front too, so that a setting must be faster than that.
        """
        return measured.speedup.value > 1 and not any(
            rival.speedup.value >= measured.speedup.value
            and rival.score_loss.value <= measured.score_loss.value
            and rival.setting.accelerators
            for rival in self.rivals
            if rival.feasible(self.limits)
        )


def _each(
    measured: Figures, change: Callable[[Estimate], Estimate]
) -> tuple[Estimate, dict[str, Estimate]]:
    """The score loss and the extra metrics, each of them changed."""
    fidelity = {name: change(figure) for name, figure in measured.fidelity.items()}
    return change(measured.score_loss), fidelity


def measure_until_stopped(
    measurements: Iterator[Any],
    rule: StoppingRule,
    on_batch: Callable[[Any], None] = lambda _: None,
) -> tuple[Any, Answer]:
    """The first `Measurement` after which the rule ends the trial, or the last one; the answer.

    `on_batch` is called with each `Measurement`.
    """
    before = 0
    with closing(measurements):
        for measured in measurements:
            on_batch(measured)
            answer = rule.answer(measured, before)
            before = measured.prompts
            if answer is not Answer.GO_ON:
                break
    return measured, answer
