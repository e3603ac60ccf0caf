"""How much a trial is worth: asked after each block of prompts whether it should go on.

Every setting is measured on the study's `num_samples` prompts. Where the interval of a loss then
still reaches over its limit, and the setting would matter, it takes more, up to `max_samples`. One
that matters is also timed until its speedup is known well; what is infeasible for sure is not. A
trial that races is stopped before, when it is certain to miss a limit (`tuner.search.racing`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tuner.search.limits import Limits
from tuner.search.racing import whole
from tuner.search.record import Result


class Answer(Enum):
    """What a trial should do after a block of prompts."""

    GO_ON = "go on"
    ENOUGH = "enough"
    HOPELESS = "hopeless"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Whether a trial should go on; `rivals` are the study's results so far."""

    limits: Limits
    samples: int | None = None  # prompts of every setting; all that are offered when None
    rivals: Sequence[Result] = ()
    races: bool = False
    alike: bool = False  # every setting the same effort, whether it matters or not

    def answer(self, measured: Any) -> Answer:
        """What a trial should do, from the `Measurement` so far."""
        if self.samples is None or measured.prompts < self.samples:
            return Answer.HOPELESS if self.races and self._hopeless(measured) else Answer.GO_ON
        found = measured.score_loss, measured.fidelity
        matters = not self.alike and self._matters(measured)
        if not matters or self.limits.surely_missed(*found):
            return Answer.ENOUGH
        kept = self.limits.surely_kept(*found)
        return Answer.ENOUGH if kept and measured.timed else Answer.GO_ON

    def _hopeless(self, measured: Any) -> bool:
        """Whether it is certain to miss a limit, whatever the prompts that are left say."""
        if self.samples is None:
            return False
        count, total = measured.prompts, self.samples
        return self.limits.surely_missed(
            whole(measured.score_loss, count, total),
            {name: whole(one, count, total) for name, one in measured.fidelity.items()},
        )

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
    found: Iterator[Any], effort: Effort, on_block: Callable[[Any], None] = lambda _: None
) -> tuple[Any, Answer]:
    """The first `Measurement` after which not to go on, or the last one; and the answer to it.

    `on_block` is told each one.
    """
    for measured in found:
        on_block(measured)
        answer = effort.answer(measured)
        if answer is not Answer.GO_ON:
            break
    return measured, answer
