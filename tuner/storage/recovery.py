"""Which running trials are dead: their process is gone, or their heartbeat has stopped.

A trial that begins names its worker and gets a heartbeat: a row that its process writes anew every
`BEAT_S` seconds. Where the process can be looked for (`tuner.storage.worker`), one that is gone is
dead at once. Any other trial is dead after `GRACE_S` seconds without a beat. These are counted by a
clock that both processes share, else from when this process first saw the last beat: no clock of
another machine is believed.

The row is also what ends a trial: its worker takes it away before the trial's state is written, and
so does whoever gives the trial up, together with what that changes. So a trial ends once, and a
worker that stood still for too long is told that its trial is not its own any more.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tuner.storage.retries import CUT_OFF, next_try
from tuner.storage.tables import HeartbeatRow
from tuner.storage.worker import WORKER, Worker, clock

BEAT_S = 20.0  # between two beats
GRACE_S = 120.0  # without a beat until a trial is given up
GONE = float("inf")  # the silence of a process that has ended

_BEAT = text("UPDATE tuner_heartbeats SET clock = :clock, at = :at WHERE trial = :trial")
_RELEASE = text("DELETE FROM tuner_heartbeats WHERE trial = :trial")
_SEIZE = text("DELETE FROM tuner_heartbeats WHERE trial = :trial AND at = :at")
# States stand in the text: elsewhere than in SQLite their column has a type of its own.
_HOLD = (
    "UPDATE trials SET state = '{state}' WHERE trial_id = :trial AND state = '{state}' "
    "AND NOT EXISTS (SELECT 1 FROM tuner_heartbeats WHERE trial = :trial)"
)
_BEATS = text("SELECT trial, clock, at FROM tuner_heartbeats WHERE trial IN :trials").bindparams(
    bindparam("trials", expanding=True)
)


class LivingStorage(RDBStorage):
    """Optuna's storage; trials that begin here name this process, and it beats for them.

    `passed_over` are the ids of queued trials that are left to other runs.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        """As Optuna's."""
        super().__init__(url, engine_kwargs=engine_kwargs)
        self.passed_over: set[int] = set()
        self._begun: set[int] = set()
        self._lost: set[int] = set()

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        """With the worker's name from the first moment where the trial runs."""
        made = template_trial or create_trial(state=TrialState.RUNNING)
        if made.state != TrialState.RUNNING:
            return super()._create_new_trial(study_id, made)
        made.user_attrs = made.user_attrs | {WORKER: str(Worker.me())}
        begun = super()._create_new_trial(study_id, made)
        with Session(self.engine) as session, session.begin():
            session.add(_row(begun._trial_id))
        self._begun.add(begun._trial_id)
        return begun

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's, but of several workers only one begins a trial, and only one ends it."""
        if state == TrialState.RUNNING:
            return trial_id not in self.passed_over and self._take(trial_id)
        if trial_id in self._begun:
            self.done_with(trial_id)
            with self.engine.begin() as connection:
                ours = connection.execute(_RELEASE, {"trial": trial_id}).rowcount
            if not ours:
                raise UpdateFinishedTrialError(f"the trial of id {trial_id} was given up")
        return super().set_trial_state_values(trial_id, state, values)

    def _take(self, trial_id: int) -> bool:
        """Begin a queued trial, unless another worker was faster."""
        with Session(self.engine) as session, session.begin():
            if not _held(session, trial_id, TrialState.WAITING):
                return False
            self._keep(session, trial_id, {WORKER: str(Worker.me())})
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            trial.state, trial.datetime_start = TrialState.RUNNING, datetime.now()
            session.add(_row(trial_id))
        self._begun.add(trial_id)
        return True

    def give_up(
        self,
        study_id: int,
        trial_id: int,
        beat: float | None,
        attributes: Mapping[str, Any],
        again: FrozenTrial | None,
    ) -> bool:
        """Fail a trial of another worker whose last beat is `beat`, and queue another one.

        All of it happens or, where the trial has beaten or ended since, nothing.
        """
        with Session(self.engine) as session:
            if beat is not None:
                key = {"trial": trial_id, "at": beat}
                seized = bool(session.execute(_SEIZE, key).rowcount)  # type: ignore[attr-defined]
            else:
                seized = True
            if not (seized and _held(session, trial_id, TrialState.RUNNING)):
                session.rollback()
                return False
            self._keep(session, trial_id, attributes)
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            trial.state, trial.datetime_complete = TrialState.FAIL, datetime.now()
            if again is not None:
                models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
                self._get_prepared_new_trial(study_id, again, session)
            session.commit()
        return True

    def _keep(self, session: Session, trial_id: int, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            self._set_trial_attr_without_commit(
                session, models.TrialUserAttributeModel, trial_id, name, value
            )

    def beat(self) -> None:
        """A sign of life for the trials that this process runs."""
        for trial in list(self._begun):
            with self.engine.begin() as connection:
                key = {"trial": trial, "clock": clock(), "at": monotonic()}
                if not connection.execute(_BEAT, key).rowcount:
                    self._lost.add(trial)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat for the length of a ``with`` block, in a thread that ends with the process."""
        ended = threading.Event()

        def go_on() -> None:
            while not ended.wait(BEAT_S):
                try:
                    self.beat()
                except SQLAlchemyError:
                    continue  # the next beat may pass; the trial itself will say what is wrong

        thread = threading.Thread(target=go_on, name="heartbeat", daemon=True)
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
        """Forget a trial that this process ran, however it ended."""
        self._begun.discard(trial_id)
        self._lost.discard(trial_id)

    def check(self) -> None:
        """Raise Optuna's error of a finished trial where one that runs here was given up."""
        if self._lost & self._begun:
            raise UpdateFinishedTrialError("the trial was given up by another run")

    def beats(self, trials: Sequence[int]) -> dict[int, tuple[str | None, float]]:
        """The last beat of trials, by their ids: which clock, and its time."""
        with self.engine.connect() as connection:
            found = connection.execute(_BEATS, {"trials": list(trials)})
            return {trial: (which, at) for trial, which, at in found}


@dataclass(frozen=True, kw_only=True)
class Running:
    """A trial that some process runs, or ran until it died."""

    trial: FrozenTrial
    worker: Worker | None  # unknown where it died before an earlier version named it
    beat: float | None
    silent_s: float  # seconds without a sign of life

    @property
    def is_dead(self) -> bool:
        """Whether it is to be given up."""
        return self.silent_s > GRACE_S

    @property
    def left_s(self) -> float:
        """Seconds until it is given up, if there is no sign of life."""
        return max(0.0, GRACE_S - self.silent_s)

    def __str__(self) -> str:
        """For people: 'trial 3 of host:4711'."""
        who = "" if self.worker is None else f" of {self.worker.host}:{self.worker.pid}"
        return f"trial {self.trial.number}{who}"


class Liveness:
    """Looks at running trials, and remembers when it first saw what it sees."""

    def __init__(self, storage: LivingStorage) -> None:
        self._storage = storage
        self._seen: dict[int, tuple[float | None, float]] = {}

    def running(self, study: optuna.Study) -> list[Running]:
        """The running trials of a study."""
        found = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        beats = self._storage.beats([one._trial_id for one in found]) if found else {}
        return [self._look(one, beats.get(one._trial_id)) for one in found]

    def _look(self, trial: FrozenTrial, beat: tuple[str | None, float] | None) -> Running:
        worker = Worker.named(str(trial.user_attrs.get(WORKER, "")))
        which, at = beat or (None, None)
        return Running(
            trial=trial,
            worker=worker,
            beat=at,
            silent_s=self._silent_s(trial._trial_id, worker, which, at),
        )

    def _silent_s(
        self, trial: int, worker: Worker | None, which: str | None, at: float | None
    ) -> float:
        now = monotonic()
        if worker is not None and worker.runs is False:
            return GONE
        if worker is not None and worker.runs and not worker.place:
            return 0.0  # an earlier version, which does not beat
        if at is not None and which is not None and which == clock():
            return now - at
        if trial not in self._seen or self._seen[trial][0] != at:
            self._seen[trial] = (at, now)
        return now - self._seen[trial][1]

    def bury(self, study: optuna.Study) -> int:
        """Fail the dead trials and queue them again; how many there were.

        One that is queued again counts for nothing.
        """
        return sum(self._give_up(study, one) for one in self.running(study) if one.is_dead)

    def _give_up(self, study: optuna.Study, one: Running) -> bool:
        reason = "its process ended before the trial did"
        if one.silent_s != GONE:
            reason = f"no sign of life of its process for {one.silent_s:.0f} s"
        again = next_try(one.trial)
        attributes = {"reason": reason} | ({} if again is None else {CUT_OFF: True})
        return self._storage.give_up(
            study._study_id, one.trial._trial_id, one.beat, attributes, again
        )


def _row(trial: int) -> HeartbeatRow:
    return HeartbeatRow(trial=trial, clock=clock(), at=monotonic())


def _held(session: Session, trial: int, state: TrialState) -> bool:
    """Keep others off a trial until the transaction's end, if it is in a state and has no row."""
    query = text(_HOLD.format(state=state.name))
    return bool(session.execute(query, {"trial": trial}).rowcount)  # type: ignore[attr-defined]
