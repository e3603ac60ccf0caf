"""Optuna's storage in a database, with a heartbeat for each trial that runs.

A trial that begins names its worker and gets a heartbeat: a row that its process updates every
`BEAT_S` seconds. The row also decides who ends a trial: its worker deletes the row before it writes
the trial's state, and so does another process that marks the trial as failed because its worker
died (`tuner.storage.recovery`). So a trial ends once, and a worker that was suspended for too long
finds out that its trial is no longer its own.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import bindparam, delete, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tuner.storage import worker
from tuner.storage.budget import check_budget
from tuner.storage.optuna_names import ARTIFACTS, OURS
from tuner.storage.schema_check import schema_checked_by_version
from tuner.storage.tables import HeartbeatRow
from tuner.storage.worker import WORKER, Worker

BEAT_S = 20.0  # between two heartbeats
# What the dashboard stores in place of an artifact that was removed; `optuna.artifacts` cannot read
# it, so that the attribute is deleted instead.
REMOVED = "null"

_BEAT = text("UPDATE tuner_heartbeats SET clock = :clock, at = :at WHERE trial = :trial")
_RELEASE = text("DELETE FROM tuner_heartbeats WHERE trial = :trial")
_SEIZE = text("DELETE FROM tuner_heartbeats WHERE trial = :trial AND at = :at")
# States are part of the text: other databases than SQLite give their column an enum type.
_LOCK = (
    "UPDATE trials SET state = '{state}' WHERE trial_id = :trial AND state = '{state}' "
    "AND NOT EXISTS (SELECT 1 FROM tuner_heartbeats WHERE trial = :trial)"
)
_BEATS = text("SELECT trial, clock, at FROM tuner_heartbeats WHERE trial IN :trials").bindparams(
    bindparam("trials", expanding=True)
)


class LivingStorage(RDBStorage):
    """Optuna's storage, which names the process of each trial and writes its heartbeats.

    `passed_over` holds the ids of queued trials that this process must leave to other runs.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        """Arguments are those of Optuna's `RDBStorage`."""
        with schema_checked_by_version():
            super().__init__(url, engine_kwargs=engine_kwargs)
        self.passed_over: set[int] = set()
        self._begun: set[int] = set()  # ids of trials that this process began and has not ended
        # By id of a running trial: its last heartbeat, and when this process first saw that one.
        self.first_seen: dict[int, tuple[float | None, float]] = {}
        self._lost: set[int] = set()  # ids of begun trials that another process marked as failed
        self._most: int | None = None  # trials that a study may have while one is asked for

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        """Create a trial; one that runs at once gets its worker's name and a heartbeat."""
        template = template_trial or create_trial(state=TrialState.RUNNING)
        if template.state != TrialState.RUNNING:
            return super()._create_new_trial(study_id, template)
        template.user_attrs = template.user_attrs | {WORKER: str(Worker.me())}
        trial = super()._create_new_trial(study_id, template)
        with Session(self.engine) as session, session.begin():
            session.add(_heartbeat(trial._trial_id))
        self._begun.add(trial._trial_id)
        return trial

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        """Like Optuna's, but raises `BudgetSpentError` where the study has enough trials."""
        if self._most is not None:
            check_budget(session, study_id, self._most)
        return super()._get_prepared_new_trial(study_id, template_trial, session)

    @contextmanager
    def at_most(self, trials: int | None) -> Iterator[None]:
        """Begin no trial in a ``with`` block where a study has `trials` trials or more."""
        self._most = trials
        try:
            yield
        finally:
            self._most = None

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Like Optuna's, but of several processes only one begins a trial and only one ends it."""
        if state == TrialState.RUNNING:
            return trial_id not in self.passed_over and self._begin_queued(trial_id)
        if trial_id in self._begun:
            self.done_with(trial_id)
            with self.engine.begin() as connection:
                owned = connection.execute(_RELEASE, {"trial": trial_id}).rowcount
            if not owned:
                raise UpdateFinishedTrialError(f"the trial of id {trial_id} was marked as failed")
        return super().set_trial_state_values(trial_id, state, values)

    def _begin_queued(self, trial_id: int) -> bool:
        """Begin a queued trial; False where another process was faster."""
        with Session(self.engine) as session, session.begin():
            if self._most is not None:
                queued = models.TrialModel.find_or_raise_by_id(trial_id, session)
                check_budget(session, int(queued.study_id), self._most)
            if not _locked(session, trial_id, TrialState.WAITING):
                return False
            self._set_user_attributes(session, trial_id, {WORKER: str(Worker.me())})
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            trial.state, trial.datetime_start = TrialState.RUNNING, datetime.now()
            session.add(_heartbeat(trial_id))
        self._begun.add(trial_id)
        return True

    def fail_trial(
        self,
        study_id: int,
        trial_id: int,
        beat: float | None,
        attributes: Mapping[str, Any],
        retry: FrozenTrial | None,
    ) -> bool:
        """Mark a trial of another process as failed, and queue `retry`.

        All of it happens in one transaction; nothing happens, and False is returned, where the
        trial has a newer heartbeat than `beat` or has ended.
        """
        with Session(self.engine) as session:
            if beat is not None:
                key = {"trial": trial_id, "at": beat}
                seized = bool(session.execute(_SEIZE, key).rowcount)  # type: ignore[attr-defined]
            else:
                seized = True
            if not (seized and _locked(session, trial_id, TrialState.RUNNING)):
                session.rollback()
                return False
            self._set_user_attributes(session, trial_id, attributes)
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            trial.state, trial.datetime_complete = TrialState.FAIL, datetime.now()
            if retry is not None:
                models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
                self._get_prepared_new_trial(study_id, retry, session)
            session.commit()
        return True

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Like Optuna's, but a finished trial can get artifacts and attributes of ours."""
        if not key.startswith((ARTIFACTS, OURS)):
            super().set_trial_system_attr(trial_id, key, value)
            return
        row = models.TrialSystemAttributeModel
        with Session(self.engine) as session, session.begin():
            session.execute(delete(row).where(row.trial_id == trial_id, row.key == key))
            if value != REMOVED:
                session.add(row(trial_id=trial_id, key=key, value_json=json.dumps(value)))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Like Optuna's, but of an artifact that was removed nothing is left."""
        if not (key.startswith(ARTIFACTS) and value == REMOVED):
            super().set_study_system_attr(study_id, key, value)
            return
        row = models.StudySystemAttributeModel
        with Session(self.engine) as session, session.begin():
            session.execute(delete(row).where(row.study_id == study_id, row.key == key))

    def _set_user_attributes(
        self, session: Session, trial_id: int, attributes: Mapping[str, Any]
    ) -> None:
        for name, value in attributes.items():
            self._set_trial_attr_without_commit(
                session, models.TrialUserAttributeModel, trial_id, name, value
            )

    def beat(self) -> None:
        """Write a heartbeat for each trial that this process runs."""
        for trial_id in list(self._begun):
            with self.engine.begin() as connection:
                key = {"trial": trial_id, "clock": worker.clock(), "at": worker.now()}
                if not connection.execute(_BEAT, key).rowcount:
                    self._lost.add(trial_id)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write heartbeats for the length of a ``with`` block, in a daemon thread."""
        ended = threading.Event()

        def beat_until_the_end() -> None:
            while not ended.wait(BEAT_S):
                try:
                    self.beat()
                except SQLAlchemyError:
                    continue  # the next heartbeat may succeed; the trial itself reports the error

        thread = threading.Thread(target=beat_until_the_end, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def runs(self, trial_id: int) -> bool:
        """Whether this process has begun a trial and not ended it."""
        return trial_id in self._begun

    def done_with(self, trial_id: int) -> None:
        """Stop the heartbeats of a trial that this process ran, however it ended."""
        self._begun.discard(trial_id)
        self._lost.discard(trial_id)

    def check(self) -> None:
        """Raise `UpdateFinishedTrialError` where a trial that runs here was marked as failed."""
        if self._lost & self._begun:
            raise UpdateFinishedTrialError("the trial was marked as failed by another run")

    def beats(self, trial_ids: Sequence[int]) -> dict[int, tuple[str | None, float]]:
        """The last heartbeat of trials, by their ids: the clock that it was read from, its time."""
        with self.engine.connect() as connection:
            rows = connection.execute(_BEATS, {"trials": list(trial_ids)})
            return {trial_id: (clock, time) for trial_id, clock, time in rows}


def _heartbeat(trial_id: int) -> HeartbeatRow:
    return HeartbeatRow(trial=trial_id, clock=worker.clock(), at=worker.now())


def _locked(session: Session, trial_id: int, state: TrialState) -> bool:
    """Lock a trial until the transaction ends; False unless it is in `state` without a heartbeat.

    A running trial has a heartbeat until its worker ends it.
    """
    query = text(_LOCK.format(state=state.name))
    return bool(session.execute(query, {"trial": trial_id}).rowcount)  # type: ignore[attr-defined]
