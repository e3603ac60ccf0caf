"""Optuna's storage in a database, with a heartbeat for each trial that runs.

A trial that begins names its worker and gets a heartbeat: a row that its process updates every few
seconds (`tuner.storage.beating`). The row also decides who ends a trial: its worker deletes the row
before it writes the trial's state, and so does another process that marks the trial as failed
because its worker died (`tuner.storage.recovery`). So a trial ends once, and a worker that was
suspended for too long finds out that its trial is no longer its own.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from tuner.storage import worker
from tuner.storage.beating import beating
from tuner.storage.budget import check_budget
from tuner.storage.patience import patient
from tuner.storage.shared_storage import SharedStorage
from tuner.storage.tables import HeartbeatRow
from tuner.storage.trial_rows import set_user_attributes
from tuner.storage.worker import WORKER, Worker

_BEAT = text("UPDATE tuner_heartbeats SET clock = :clock, at = :at WHERE trial = :trial")
_RELEASE = text("DELETE FROM tuner_heartbeats WHERE trial = :trial")
_SEIZE = text("DELETE FROM tuner_heartbeats WHERE trial = :trial AND at = :at")
_CREATED = text(
    "SELECT trial FROM tuner_heartbeats JOIN trial_user_attributes ON trial_id = trial "
    f"WHERE clock = :clock AND at = :at AND key = '{WORKER}' AND value_json = :worker"
)
# States are part of the text: other databases than SQLite give their column an enum type.
_LOCK = (
    "UPDATE trials SET state = '{state}' WHERE trial_id = :trial AND state = '{state}' "
    "AND NOT EXISTS (SELECT 1 FROM tuner_heartbeats WHERE trial = :trial)"
)
_BEATS = text("SELECT trial, clock, at FROM tuner_heartbeats WHERE trial IN :trials").bindparams(
    bindparam("trials", expanding=True)
)


class LivingStorage(SharedStorage):
    """Optuna's storage, which names the process of each trial and writes its heartbeats.

    `passed_over` holds the ids of queued trials that this process must leave to other runs.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        """Arguments are those of Optuna's `RDBStorage`."""
        super().__init__(url, engine_kwargs)
        self.passed_over: set[int] = set()
        self._begun: set[int] = set()  # ids of trials that this process began and has not ended
        # By id of a running trial: its last heartbeat, and when this process first saw that one.
        self.first_seen: dict[int, tuple[float | None, float]] = {}
        self._lost: set[int] = set()  # ids of begun trials that another process marked as failed
        self._retries: dict[int, FrozenTrial] = {}  # by id of a begun trial: queued when it ends
        self._most: int | None = None  # trials that a study may have while one is asked for

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        """Create a trial; one that runs at once gets its worker's name and a heartbeat."""
        template = template_trial or create_trial(state=TrialState.RUNNING)
        beat = None
        if template.state == TrialState.RUNNING:
            template.user_attrs = template.user_attrs | {WORKER: str(Worker.me())}
            beat = worker.now()
        trial = self.patience.run(
            lambda: self._create(study_id, template, beat),
            lambda: self._created(study_id, template, beat),
        )
        if beat is not None:
            self._begun.add(trial._trial_id)
        return trial

    def _create(self, study_id: int, template: FrozenTrial, beat: float | None) -> FrozenTrial:
        """Create a trial with its heartbeat, in one transaction."""
        created = copy.deepcopy(template)
        with Session(self.engine) as session, session.begin():
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            row: Any = self._get_prepared_new_trial(study_id, template, session)
            if beat is not None:
                session.add(_heartbeat(row.trial_id, beat))
            created._trial_id, created.number = row.trial_id, row.number
        return created

    def _created(
        self, study_id: int, template: FrozenTrial, beat: float | None
    ) -> FrozenTrial | None:
        """A trial that was created, although the database did not confirm it."""
        if beat is not None:
            own = json.dumps(template.user_attrs[WORKER])
            key = {"clock": worker.clock(), "at": beat, "worker": own}
            with self.engine.connect() as connection:
                trial_id = connection.execute(_CREATED, key).scalar()
            return None if trial_id is None else self.get_trial(trial_id)
        for queued in self._get_trials(study_id, (TrialState.WAITING,), set(), -1):
            if (queued.system_attrs, queued.user_attrs) == (
                template.system_attrs,
                template.user_attrs,
            ):
                return queued
        return None

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
        if trial_id not in self._begun:
            return super().set_trial_state_values(trial_id, state, values)
        self.patience.check_file()
        retry = self._retries.pop(trial_id, None)
        self.done_with(trial_id)
        return self.patience.run(
            lambda: self._end(trial_id, state, values, retry),
            lambda: self._is_in(trial_id, state),
        )

    def queue_at_end(self, trial_id: int, retry: FrozenTrial) -> None:
        """Queue a trial in the transaction that ends one of this process."""
        self._retries[trial_id] = retry

    def _begin_queued(self, trial_id: int) -> bool:
        """Begin a queued trial; False where another process was faster."""
        beat = worker.now()
        begun = self.patience.run(
            lambda: self._try_to_begin(trial_id, beat),
            lambda: self.beats([trial_id]) == {trial_id: (worker.clock(), beat)} or None,
        )
        if begun:
            self._begun.add(trial_id)
        return begun

    def _try_to_begin(self, trial_id: int, beat: float) -> bool:
        with Session(self.engine) as session, session.begin():
            if self._most is not None:
                queued = models.TrialModel.find_or_raise_by_id(trial_id, session)
                check_budget(session, int(queued.study_id), self._most)
            if not _locked(session, trial_id, TrialState.WAITING):
                return False
            set_user_attributes(session.connection(), trial_id, {WORKER: str(Worker.me())})
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            trial.state, trial.datetime_start = TrialState.RUNNING, datetime.now()
            session.add(_heartbeat(trial_id, beat))
        return True

    def _end(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None,
        retry: FrozenTrial | None,
    ) -> bool:
        """End a trial of this process and queue `retry`, in one transaction."""
        with Session(self.engine) as session, session.begin():
            if not session.execute(_RELEASE, {"trial": trial_id}).rowcount:  # type: ignore[attr-defined]
                raise UpdateFinishedTrialError(f"the trial of id {trial_id} was marked as failed")
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            for objective, value in enumerate(values or ()):
                self._set_trial_value_without_commit(session, trial, objective, value)
            trial.state, trial.datetime_complete = state, datetime.now()
            self._queue(session, trial.study_id, retry)
        return True

    def _is_in(self, trial_id: int, state: TrialState) -> bool | None:
        """True for a trial that is stored in this state; None for another one."""
        return True if self.get_trial(trial_id).state == state else None

    def _queue(self, session: Session, study_id: int, retry: FrozenTrial | None) -> None:
        if retry is not None:
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            self._get_prepared_new_trial(study_id, retry, session)

    @patient
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
            set_user_attributes(session.connection(), trial_id, attributes)
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            trial.state, trial.datetime_complete = TrialState.FAIL, datetime.now()
            self._queue(session, study_id, retry)
            session.commit()
        return True

    def beat(self) -> None:
        """Write a heartbeat for each trial that this process runs."""
        for trial_id in list(self._begun):
            with self.engine.begin() as connection:
                key = {"trial": trial_id, "clock": worker.clock(), "at": worker.now()}
                if not connection.execute(_BEAT, key).rowcount:
                    self._lost.add(trial_id)

    def beating(self) -> AbstractContextManager[None]:
        """Write heartbeats for the length of a ``with`` block."""
        return beating(self.beat, "heartbeat")

    def runs(self, trial_id: int) -> bool:
        """Whether this process has begun a trial and not ended it."""
        return trial_id in self._begun

    def done_with(self, trial_id: int) -> None:
        """Stop the heartbeats of a trial that this process ran, however it ended."""
        self._begun.discard(trial_id)
        self._lost.discard(trial_id)
        self._retries.pop(trial_id, None)

    def check(self) -> None:
        """Raise `UpdateFinishedTrialError` where a trial that runs here was marked as failed."""
        if self._lost & self._begun:
            raise UpdateFinishedTrialError("the trial was marked as failed by another run")

    @patient
    def beats(self, trial_ids: Sequence[int]) -> dict[int, tuple[str | None, float]]:
        """The last heartbeat of trials, by their ids: the clock that it was read from, its time."""
        with self.engine.connect() as connection:
            rows = connection.execute(_BEATS, {"trials": list(trial_ids)})
            return {trial_id: (clock, time) for trial_id, clock, time in rows}


def _heartbeat(trial_id: int, at: float) -> HeartbeatRow:
    return HeartbeatRow(trial=trial_id, clock=worker.clock(), at=at)


def _locked(session: Session, trial_id: int, state: TrialState) -> bool:
    """Lock a trial until the transaction ends; False unless it is in `state` without a heartbeat.

    A running trial has a heartbeat until its worker ends it.
    """
    query = text(_LOCK.format(state=state.name))
    return bool(session.execute(query, {"trial": trial_id}).rowcount)  # type: ignore[attr-defined]
