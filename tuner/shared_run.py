"""What the runs of several workers on one study have in common."""

from dataclasses import dataclass

import optuna

from tuner.search.deadline import Deadline
from tuner.storage.run_clock import begun_s


@dataclass(frozen=True, kw_only=True)
class SharedRun:
    """A run of several workers, as each of them sees it; by default one that has no other worker.

    Args:
        name: of the run, for a timeout that all its workers share; None where each counts its own.
        waits: whether a worker that has nothing to begin waits for those that have.
    """

    name: str | None = None
    waits: bool = True

    def deadline(self, study: optuna.Study, timeout_s: float | None) -> Deadline:
        """The deadline of a study's search, counted from when the run's first worker began it."""
        if timeout_s is None or self.name is None:
            return Deadline.after(timeout_s)
        return Deadline.after(timeout_s - begun_s(study, self.name))
