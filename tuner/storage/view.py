"""A database as the dashboard is to show it: with other attributes, values and an additional trial.

Nothing of that is stored, so that no sampler, counter or export can mistake it for a trial.
"""

import copy
import json
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from tuner.storage.artifacts import metas_among
from tuner.storage.living_storage import LivingStorage
from tuner.storage.optuna_names import ARTIFACTS, CONSTRAINTS

SHOWN_TYPES = {  # of artifacts, as a browser gets them
    *("image/png", "image/jpeg", "image/webp", "image/gif"),
    *("text/plain", "text/csv", "application/json", "application/jsonl"),
    *("video/mp4", "audio/mpeg", "audio/wav"),
}
DOWNLOAD = "application/octet-stream"
UNREADABLE_MARK = {"remark": "damaged: what the tuner stored here cannot be read"}
ADDED = -1  # number of the trial that is shown and not stored; before all others


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown of a trial."""

    attributes: dict[str, Any]  # in this order
    values: list[float] | None = None  # None: as they are stored
    constraints_of: int | None = None  # the number of the trial whose constraints are shown


@dataclass(frozen=True, kw_only=True)
class AddedTrial:
    """A complete trial that is shown and not stored."""

    values: list[float]
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    attributes: dict[str, Any]
    constraints: list[float]


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How studies and trials are shown; each function gets the study, and a trial where it is one.

    `of_study` returns the study's attributes; `of_trials` what is shown of each trial; `added` the
    trial that is shown in addition, or None; `note_of_added` its note, from where the study's
    artifacts are served, by their file names. The added trial has these artifacts too.
    """

    of_study: Callable[[FrozenStudy], dict[str, Any]]
    of_trials: Callable[[FrozenStudy, list[FrozenTrial]], list[Shown]]
    added: Callable[[FrozenStudy, list[FrozenTrial]], AddedTrial | None]
    note_of_added: Callable[[FrozenStudy, dict[str, str]], str]


class StorageView(LivingStorage):
    """Reads a database as Optuna's storage does, and shows it as `looks` says."""

    def __init__(self, storage: LivingStorage, looks: Looks) -> None:
        """A view on the database of a storage."""
        super().__init__(storage.url, storage.engine_kwargs)
        self._looks = looks

    def get_all_studies(self) -> list[FrozenStudy]:
        """The studies with the attributes that are shown, and the note of the added trial."""
        studies = super().get_all_studies()
        for study in studies:
            prefix = f"dashboard:{_added_id(study._study_id)}:note_"
            paths = {
                meta.filename: f"/artifacts/{study._study_id}/{meta.artifact_id}"
                for meta in metas_among(study.system_attrs)
            }
            try:
                note = self._looks.note_of_added(study, paths)
                shown = self._looks.of_study(study)
            except Exception:  # of a damaged study; the others can be shown
                note, shown = "", study.user_attrs | UNREADABLE_MARK
            study.system_attrs = study.system_attrs | {f"{prefix}ver": 1, f"{prefix}str:0": note}
            study.user_attrs = shown
        return studies

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The added trial, if there is one, and the others with what is shown of them."""
        stored = super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        study = next(s for s in super().get_all_studies() if s._study_id == study_id)
        constraints = {t.number: t.system_attrs.get(CONSTRAINTS) for t in stored}
        try:
            of_trials = self._looks.of_trials(study, stored)
            added = self._looks.added(study, stored)
        except Exception:  # of a damaged study, whose trials are shown as they are stored
            return stored
        trials = [
            _changed(trial, shown, constraints)
            for trial, shown in zip(stored, of_trials, strict=True)
        ]
        if added is None or (states is not None and TrialState.COMPLETE not in states):
            return trials
        return [_trial_of(added, study, stored), *trials]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The system attributes of a study, whose artifacts no browser runs."""
        return _not_run(super().get_study_system_attrs(study_id))

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """The system attributes of a trial, also of the added one; of artifacts as above."""
        if trial_id < 0:
            return _artifacts(self.get_study_system_attrs(_added_id(trial_id)))
        return _not_run(super().get_trial_system_attrs(trial_id))


def _added_id(study_id: int) -> int:
    """The id of a study's added trial, and back; stored trials have positive ids."""
    return -study_id


def _changed(
    trial: FrozenTrial, shown: Shown, constraints: dict[int, list[float] | None]
) -> FrozenTrial:
    changed = copy.copy(trial)
    changed.user_attrs = shown.attributes
    others = None if shown.constraints_of is None else constraints[shown.constraints_of]
    if others is not None:
        changed.system_attrs = trial.system_attrs | {CONSTRAINTS: others}
    if shown.values is not None:
        changed.values = shown.values
    return changed


def _artifacts(system_attrs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in system_attrs.items() if name.startswith(ARTIFACTS)}


def _not_run(system_attrs: dict[str, Any]) -> dict[str, Any]:
    """The attributes with a type for downloads in place of types that a browser might run.

    The dashboard serves an artifact with the type that its database names.
    """
    harmless = dict(system_attrs)
    for name, value in _artifacts(system_attrs).items():
        try:
            meta = json.loads(value)
            if meta["mimetype"] not in SHOWN_TYPES:
                harmless[name] = json.dumps(meta | {"mimetype": DOWNLOAD})
        except Exception:  # of an artifact that was removed, or is no artifact
            del harmless[name]
    return harmless


def _trial_of(added: AddedTrial, study: FrozenStudy, stored: Iterable[FrozenTrial]) -> FrozenTrial:
    trial = optuna.trial.create_trial(
        values=added.values,
        params=added.params,
        distributions=added.distributions,
        user_attrs=added.attributes,
        system_attrs={CONSTRAINTS: added.constraints, **_artifacts(study.system_attrs)},
    )
    begun = [other.datetime_start for other in stored if other.datetime_start is not None]
    trial.number, trial._trial_id = ADDED, _added_id(study._study_id)
    trial.datetime_start = trial.datetime_complete = min(begun, default=datetime.now())
    return trial
