"""How far a run of several studies is, for the terminal and for `--json`."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.fleet.assignment import workers_on
from tuner.fleet.costs import Costs
from tuner.fleet.needs import needs_of
from tuner.formatting import count
from tuner.spec import StudySpec
from tuner.storage.database import Storage


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """How far a sweep was when one of its studies began."""

    number: int  # of the study that runs, from 1, by how many had been begun
    of: int  # studies
    complete: int
    # Seconds of all studies but the one that runs; None where that is not known.
    others_s: float | None

    def left_s(self, own_s: float | None) -> float | None:
        """Seconds that are left, with those of the study that runs."""
        return None if own_s is None or self.others_s is None else own_s + self.others_s


class SweepWatch:
    """Reads from the database how far a sweep is, whoever runs its studies."""

    def __init__(self, specs: Sequence[StudySpec], storage: Storage) -> None:
        self._specs, self._storage = specs, storage

    def progress(self, spec: StudySpec) -> SweepProgress:
        """How far the sweep is when this study begins."""
        costs = Costs(self._storage, needs_of(self._specs, self._storage))
        others = [costs.expected(each).seconds for each in costs.left if each.spec is not spec]
        begun = sum(each.study is not None and each.spec is not spec for each in costs.needs)
        known = [seconds for seconds in others if seconds is not None]
        workers = max(1, len(workers_on(self._specs, self._storage)))
        return SweepProgress(
            number=begun + 1,
            of=len(costs.needs),
            complete=len(costs.needs) - len(costs.left),
            others_s=sum(known) / workers if len(known) == len(others) else None,
        )

    def summary(self) -> str:
        """How many studies are complete, in a line."""
        complete = sum(each.complete for each in needs_of(self._specs, self._storage))
        return f"{complete} of {count(len(self._specs), 'study', 'studies')} complete"
