"""What a replay would need, said before it starts."""

from dataclasses import dataclass
from datetime import timedelta

import optuna

from tuner.search.sweep.sweep import Reach
from tuner.storage.log import log_of

RECENT = 100  # trials whose mean duration tells that of the others
TRIAL_BYTES = 3000  # of the database for a trial (bench.search.grid)
PROMPT_BYTES = 8  # and for each of its prompts


@dataclass(frozen=True, kw_only=True)
class SweepEstimate:
    """How long a replay will take, and how much of the database."""

    reach: Reach
    image_s: float  # the baseline's latency
    images: int  # that a point takes
    prompts: int
    share: float | None = 1.0  # of the points that are run, where it is known
    trial_s: float | None = None  # what a trial has taken so far

    def __str__(self) -> str:
        """For people, in a line."""
        trials = self.reach.left * (1.0 if self.share is None else self.share)
        if self.trial_s is None:
            each = self.images * self.image_s
            basis = (
                f"at the baseline's {self.image_s:.3g} s per image and {self.images} images a trial"
            )
            remark = ", less where settings are faster and more for scoring"
        else:
            each, basis, remark = self.trial_s, f"at the {self.trial_s:.3g} s of a trial so far", ""
        size = trials * (TRIAL_BYTES + PROMPT_BYTES * self.prompts)
        return (
            f"{self.reach.points:,} points, {self.reach.left:,} left{self._fewer(trials)}: {basis} "
            f"{'at most' if self.share is None else 'about'} {span(trials * each)}{remark}; "
            f"{_size(size)} of the database"
        )

    def _fewer(self, trials: float) -> str:
        if self.share is None:
            return ", of which those that cannot be faster are skipped"
        return "" if self.share == 1 else f", about {round(trials):,} trials"


def recent_s(study: optuna.Study) -> float | None:
    """The mean duration of the last complete trials; None before there is one."""
    seconds = log_of(study).durations(RECENT)
    return sum(seconds) / len(seconds) if seconds else None


def span(seconds: float) -> str:
    """For people, in the two greatest units: '12 days 3 h'."""
    whole = timedelta(seconds=round(seconds))
    hours, rest = divmod(whole.seconds, 3600)
    if whole.days:
        return f"{whole.days:,} day{'s' if whole.days > 1 else ''} {hours} h"
    if hours:
        return f"{hours} h {rest // 60} min"
    return f"{rest // 60} min {rest % 60} s"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"
