"""What a simulated search costs: pictures, and device time from the latencies of its truth table.

The unit of time is B, what the baseline takes for the 32 prompts of a trial. Everything that a run
generates is counted, as `tuner.measure` generates it on a CPU; loading, scoring and bookkeeping are
not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tuner.measure.account import Account, Purpose

PROMPTS = 32  # of each trial
BATCH = 4  # prompts


@dataclass
class TableCosts:
    """The account of one search; its seconds are in units of B. It begins with the baseline."""

    account: Account = field(default_factory=Account)
    baseline_of: set[int] = field(default_factory=set)  # the prompts whose baseline there is

    def begin(self, numbers: np.ndarray) -> None:
        """A warm-up, and the baseline of these prompts."""
        self.pictures(Purpose.WARM_UP, BATCH)
        self.baseline(numbers)

    def pictures(self, purpose: Purpose, count: int, speedup: float = 1.0) -> None:
        """Generate pictures with a setting of this speedup, or of the baseline."""
        self.account.add(purpose, count / PROMPTS / speedup, count)

    def baseline(self, numbers: np.ndarray, purpose: Purpose = Purpose.BASELINE) -> bool:
        """The baseline of these prompts, where there is none; whether it had to be generated."""
        missing = not self.baseline_of.issuperset(numbers.tolist())
        if missing:
            self.pictures(purpose, len(numbers))
            self.baseline_of.update(numbers.tolist())
        return missing

    def timed_steps(self, speedups: Sequence[float]) -> None:
        """The steps of settings, if there are any, and of the baseline interleaved with them."""
        for speedup in [1.0, *speedups] if speedups else ():
            self.pictures(Purpose.TIMED_STEPS, BATCH, speedup)

    @property
    def total(self) -> float:
        """Device time in units of B."""
        return self.account.total_s

    def with_verification(self, speedup: float) -> float:
        """Device time with the verification of a setting, whose baseline comes in pairs with it."""
        return self.total + 1 + (1 + BATCH / PROMPTS) / speedup

    @property
    def scored_share(self) -> float:
        """The share of the pictures generated after the first baseline that were scored."""
        counts = self.account.pictures
        unscored = (Purpose.TIMED_STEPS, Purpose.TIMING)
        wasted = sum(counts.get(purpose, 0) for purpose in unscored)
        return 1 - wasted / max(1, sum(counts.values()) - PROMPTS - BATCH)
