"""How much a trial is worth: asked after each block of prompts whether it should go on.

Every setting is measured on as many prompts, the study's `num_samples`. One that matters is also
timed until its speedup is known well; what is infeasible for sure is not. A trial that races is
stopped before, when it is certain to miss a limit (`tuner.search.runner.racing`), or to be behind a
feasible rival of the same combination in both speed and loss: neither the front nor the best of
each combination then lack anything. A trial that resolves an open verdict
(`tuner.search.runner.resolve`) goes on where the interval of a loss reaches over its limit, up to
`max_samples`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tuner.limits import Limits
from tuner.measure.statistics import CONFIDENCE, Estimate
from tuner.search.runner.racing import BEHIND, certain_to_miss, due, surer, whole
from tuner.setting import Setting
from tuner.study.record import Result


class Answer(Enum):
    """What a trial should do after a block of prompts."""

    GO_ON = "go on"
    ENOUGH = "enough"
    HOPELESS = "hopeless"  # certain to miss a limit
    BEATEN = "beaten"  # certain to be behind a rival

    @property
    def stops(self) -> bool:
        """Whether the trial ends before it has the prompts of every setting."""
        return self in (Answer.HOPELESS, Answer.BEATEN)


@dataclass(frozen=True, kw_only=True)
class StoppingRule:
    """Whether a trial of `setting` should go on; `rivals` are the study's results so far."""

    limits: Limits
    samples: int | None = None  # prompts of every setting; all that are offered when None
    rivals: Sequence[Result] = ()
    races: bool = False
    alike: bool = False  # every setting the same effort, whether it matters or not
    resolves: bool = False  # takes more prompts while the verdict is open
    setting: Setting = field(default_factory=Setting)
    tried: int = 1  # trials of the study, with this one

    def answer(self, measured: Any, before: int = 0) -> Answer:
        """What a trial should do, from the `Measurement` so far; `before`: prompts of the last."""
        if self.samples is None:
            return Answer.GO_ON
        if measured.prompts < self.samples:
            looks = self.races and due(before, measured.prompts, self.samples)
            return self._early(measured) if looks else Answer.GO_ON
        found = measured.score_loss, measured.fidelity
        matters = not self.alike and self._matters(measured)
        if not matters or self.limits.surely_missed(*found):
            return Answer.ENOUGH
        settled = not self.resolves or self.surely_kept(measured)
        return Answer.ENOUGH if settled and measured.timed else Answer.GO_ON

    def ahead(self, measured: Any) -> Result | None:
        """A rival that the trial is certain to be behind, whatever the prompts that are left say.

        It is surely feasible, of the same combination, faster than the upper end of the trial's
        speedup, and loses no more than the lower end of its loss.
        """
        least = self._whole(measured.score_loss, measured, BEHIND).low
        for rival in self.rivals:
            if (
                rival.setting.combination == self.setting.combination
                and rival.speedup.value >= measured.speedup.high
                and rival.score_loss.value <= least
                and self._surely_feasible(rival)
            ):
                return rival
        return None

    def _early(self, measured: Any) -> Answer:
        if self._hopeless(measured):
            return Answer.HOPELESS
        return Answer.GO_ON if self.ahead(measured) is None else Answer.BEATEN

    def _hopeless(self, measured: Any) -> bool:
        """Whether it is certain to miss a limit, whatever the prompts that are left say."""
        certainty = certain_to_miss(1 + len(self.limits.others))
        found = {
            name: self._whole(one, measured, certainty) for name, one in measured.fidelity.items()
        }
        return self.limits.surely_missed(
            self._whole(measured.score_loss, measured, certainty), found
        )

    def _whole(self, figure: Estimate, measured: Any, certainty: float) -> Estimate:
        """What a figure can be over all prompts that every setting has."""
        return whole(figure, measured.prompts, self.samples or measured.prompts, certainty)

    def surely_kept(self, measured: Any) -> bool:
        """Whether every limit is kept; the fastest of many may seem so by luck, and must be surer.

        Of n that were tried it is the one error in 40 that all of them may have (Bonferroni).
        """
        fastest = not any(
            rival.speedup.value >= measured.speedup.value
            for rival in self.rivals
            if self._surely_feasible(rival)
        )
        certainty = 1 - (1 - CONFIDENCE) / 2 / (self.tried if fastest else 1)
        found = {
            name: surer(one, measured.prompts, certainty) for name, one in measured.fidelity.items()
        }
        return self.limits.surely_kept(
            surer(measured.score_loss, measured.prompts, certainty), found
        )

    def _surely_feasible(self, rival: Result) -> bool:
        kept = self.limits.surely_kept(rival.score_loss, rival.fidelity)
        return kept and rival.feasible(self.limits)

    def _matters(self, measured: Any) -> bool:
        """Whether it would be on the front if it were feasible; the best one is.

        The baseline is on it too: what is no faster does not matter.
        """
        return measured.speedup.value > 1 and not any(
            rival.speedup.value >= measured.speedup.value
            and rival.score_loss.value <= measured.score_loss.value
            and rival.setting.accelerators
            for rival in self.rivals
            if rival.feasible(self.limits)
        )


def spend(
    found: Iterator[Any], effort: StoppingRule, on_block: Callable[[Any], None] = lambda _: None
) -> tuple[Any, Answer]:
    """The first `Measurement` after which not to go on, or the last one; and the answer to it.

    `on_block` is told each one.
    """
    before = 0
    for measured in found:
        on_block(measured)
        answer = effort.answer(measured, before)
        before = measured.prompts
        if answer is not Answer.GO_ON:
            break
    return measured, answer
