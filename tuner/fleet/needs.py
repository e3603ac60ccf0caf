"""What the studies of a sweep still need, as their database says; no model is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.search.goal import Goal
from tuner.search.runner.progress import counted_trials
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.reading import reading
from tuner.study.requests import is_answered, opened_for
from tuner.study.results import read_results


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What one study of a sweep still needs."""

    spec: StudySpec
    study: optuna.Study | None = None  # None: it was not begun
    ended: int = 0  # trials that count
    running: int = 0  # trials
    complete: bool = False  # its request was answered: a run would measure nothing

    @property
    def left(self) -> int | None:
        """Trials that are left, those that run included; None where that is not known."""
        if self.complete:
            return 0
        return None if self.spec.trials is None else max(0, self.spec.trials - self.ended)

    @property
    def to_begin(self) -> int:
        """Trials that nobody has begun; a sweep over all values has at least one."""
        if self.complete:
            return 0
        return 1 if self.left is None else max(0, self.left - self.running)


def needs_of(specs: Sequence[StudySpec], storage: Storage | None) -> list[Needs]:
    """What each study needs; all of it without a `storage`.

    Raises `UsageError` where the database holds what cannot be read.
    """
    if storage is None:
        return [Needs(spec=spec) for spec in specs]
    with reading(storage.url):
        attributes = storage.study_attributes()
        return [_needs(spec, storage, attributes) for spec in specs]


def _needs(spec: StudySpec, storage: Storage, attributes: dict[str, dict[str, Any]]) -> Needs:
    name = opened_for(attributes, spec)
    if name is None:
        return Needs(spec=spec)
    study = storage.study(name)
    return Needs(
        spec=spec,
        study=study,
        ended=counted_trials(study, resolves=spec.sweep is None),
        running=log_of(study).count(TrialState.RUNNING),
        complete=is_answered(attributes[name], spec) and _is_verified(study, spec),
    )


def _is_verified(study: optuna.Study, spec: StudySpec) -> bool:
    """Whether no result is left that a run would verify first.

    The many trials of an exhaustive sweep are not read: its last run verified its result.
    """
    if spec.sweep is not None:
        return True
    candidate = Goal.of(spec).candidate(read_results(study))
    return candidate is None or candidate.verified_now
