"""Optuna's storage for many workers on one study: reserved values, fewer queries for a trial."""

import json
import threading
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import or_, text
from sqlalchemy.orm import Session

from tuner.storage.budget import LOCK
from tuner.storage.patience import patient
from tuner.storage.patient_storage import PatientStorage
from tuner.storage.trial_rows import read_trials, set_user_attributes

_KEY, _VALUE = "CAST(:key AS VARCHAR(512))", "CAST(:value AS TEXT)"
_STUDY = text("SELECT 1 FROM studies WHERE study_id = :study")
# One statement, because all workers of the study wait meanwhile.
_RESERVE = text(
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
    f"SELECT trial_id, {_KEY}, {_VALUE} FROM trials "
    "WHERE trial_id = :trial AND state = 'RUNNING' AND NOT EXISTS ("
    "SELECT 1 FROM trials AS others JOIN trial_user_attributes AS stored "
    "ON stored.trial_id = others.trial_id WHERE others.study_id = :study "
    "AND others.state = 'RUNNING' AND others.trial_id != :trial "
    f"AND stored.key = {_KEY} AND stored.value_json = {_VALUE}) "
    "ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
)


class SharedStorage(PatientStorage):
    """Optuna's storage, with what several workers on one study need besides."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        """Arguments are those of Optuna's `RDBStorage`."""
        super().__init__(url, engine_kwargs)
        self._read = threading.local()  # `studies` that `one_reading` has read, in each thread

    @patient
    def reserve(self, study_id: int, trial_id: int, attribute: str, value: Any) -> bool:
        """Store a user attribute of a running trial, unless another running trial has the same.

        The row of the study is locked meanwhile, so that of several processes one succeeds. Values
        are compared as JSON texts.
        """
        row = {"study": study_id, "trial": trial_id, "key": attribute, "value": json.dumps(value)}
        with self.engine.begin() as connection:
            connection.execute(LOCK, {"study": study_id})
            return bool(connection.execute(_RESERVE, row).rowcount)

    @patient
    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Store several user attributes of a running trial, in one transaction."""
        with Session(self.engine) as session, session.begin():
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session)
            self.check_trial_is_updatable(trial_id, trial.state)
            set_user_attributes(session.connection(), trial_id, attributes)

    @patient
    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Like Optuna's."""
        with self.engine.connect() as connection:
            trials = read_trials(connection, models.TrialModel.trial_id == trial_id)
        if not trials:
            raise KeyError(f"no trial has the id {trial_id}")
        return trials[0]

    @contextmanager
    def one_reading(self) -> Iterator[None]:
        """Let Optuna's cache read each study's trials once for the length of a ``with`` block.

        It would otherwise read all running trials whenever it is asked for any.
        """
        before = getattr(self._read, "studies", None)
        self._read.studies = set()
        try:
            yield
        finally:
            self._read.studies = before

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Like Optuna's, but nothing new where `one_reading` has read the study already."""
        read = getattr(self._read, "studies", None)
        if read is None or states is not None:
            return self._read_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        if study_id in read:
            return []
        trials = self._read_trials(study_id, None, included_trial_ids, trial_id_greater_than)
        read.add(study_id)
        return trials

    @patient
    def _read_trials(
        self, study_id: int, states: Container[TrialState] | None, ids: set[int], after: int
    ) -> list[FrozenTrial]:
        """The trials of a study; of those up to the id `after` only these `ids`."""
        row = models.TrialModel
        conditions = [row.study_id == study_id]
        if states is not None:
            conditions.append(row.state.in_([state for state in TrialState if state in states]))
        if after > -1:
            earlier = sorted(trial_id for trial_id in ids if trial_id <= after)
            conditions.append(or_(row.trial_id > after, row.trial_id.in_(earlier)))
        with self.engine.connect() as connection:
            trials = read_trials(connection, *conditions)
            if not trials and connection.execute(_STUDY, {"study": study_id}).first() is None:
                raise KeyError(f"no study has the id {study_id}")
        return trials
