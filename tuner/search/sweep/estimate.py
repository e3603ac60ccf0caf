"""The sweep estimate: the time and the disk space that a sweep will take, before it starts."""

from dataclasses import dataclass

import optuna

from tuner.formatting import span
from tuner.search.sweep.sweep import Reach
from tuner.storage.log import log_of

RECENT = 100  # trials whose mean duration is expected of the others
TRIAL_BYTES = 3000  # of the database for a trial (bench.search.grid)
PROMPT_BYTES = 8  # of the database for each prompt of a trial


@dataclass(frozen=True, kw_only=True)
class SweepEstimate:
    """How long a sweep will take, and how much the database will grow."""

    reach: Reach
    image_s: float  # the baseline's latency
    images: int  # of a trial
    prompts: int  # of a trial
    share: float | None = 1.0  # of the points that get a trial; None where it is unknown
    trial_s: float | None = None  # mean of the last trials; None before there is one

    def __str__(self) -> str:
        """One line of text."""
        trials = self.reach.left * (1.0 if self.share is None else self.share)
        if self.trial_s is None:
            each = self.images * self.image_s
            basis = (
                f"at the baseline's {self.image_s:.3g} s per image and {self.images} images per "
                "trial; faster settings take less, and scoring adds to it"
            )
        else:
            each, basis = self.trial_s, f"at {self.trial_s:.3g} s per trial, as so far"
        duration = f"{'at most' if self.share is None else 'about'} {span(trials * each)}"
        size = _size(trials * (TRIAL_BYTES + PROMPT_BYTES * self.prompts))
        return (
            f"{self.reach.points:,} points, {self.reach.left:,} left{self._share_text(trials)}: "
            f"{duration} and {size} of the database, {basis}"
        )

    def _share_text(self, trials: float) -> str:
        if self.share is None:
            return ", of which those that cannot be faster are skipped"
        return "" if self.share == 1 else f", about {round(trials):,} trials"


def recent_s(study: optuna.Study) -> float | None:
    """The mean duration of the last complete trials in seconds; None before there is one."""
    seconds = log_of(study).durations(RECENT)
    return sum(seconds) / len(seconds) if seconds else None


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"
