"""The log of a study in a database: trials are counted and read by SQL, however many."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import DateTime, Engine, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from tuner.storage.budget import BudgetSpentError, count_ended
from tuner.storage.claims import Claim, Claims
from tuner.storage.first_trials import queue_first
from tuner.storage.living_storage import LivingStorage
from tuner.storage.optuna_names import CONSTRAINTS
from tuner.storage.patience import Patience, patient
from tuner.storage.recovery import Liveness, Running
from tuner.storage.trial_log import TrialLog, storage_of

ROWS = 10_000  # fetched together
_BY_STATE = text("CREATE INDEX IF NOT EXISTS tuner_trials_by_state ON trials (study_id, state)")
_REPLACE_CONSTRAINTS = text(
    "UPDATE trial_system_attributes SET value_json = :value "
    f"WHERE trial_id = :trial AND key = '{CONSTRAINTS}'"
)
_LAST = text("SELECT number FROM trials WHERE study_id = :study ORDER BY trial_id DESC LIMIT 1")
_QUEUED = text("SELECT trial_id FROM trials WHERE study_id = :study AND state = 'WAITING'")
# States are part of the text: other databases than SQLite give their column an enum type.
_COUNT = "SELECT COUNT(*) FROM trials WHERE study_id = :study AND state = '{state}'"
_COUNT_WITH = (
    "SELECT COUNT(*) FROM trials JOIN trial_user_attributes "
    "ON trial_user_attributes.trial_id = trials.trial_id "
    "WHERE study_id = :study AND key = :key AND state IN ({states})"
)
_ATTRIBUTES = (
    "SELECT trials.trial_id, number, key, value_json FROM trials "
    "JOIN trial_user_attributes ON trial_user_attributes.trial_id = trials.trial_id "
    "WHERE study_id = :study AND state IN ({states}) AND key NOT IN :without "
    "AND trials.trial_id > :after ORDER BY trials.trial_id"
)
_SYSTEM_ATTRIBUTES = text(
    "SELECT number, key, value_json FROM trials "
    "JOIN trial_system_attributes ON trial_system_attributes.trial_id = trials.trial_id "
    "WHERE study_id = :study AND key LIKE :pattern ORDER BY number"
)
_DURATIONS = text(
    "SELECT datetime_start, datetime_complete FROM trials "
    "WHERE study_id = :study AND state = 'COMPLETE' ORDER BY trial_id DESC LIMIT :most"
).columns(datetime_start=DateTime(), datetime_complete=DateTime())

_LAST_CHANGE = text(
    "SELECT MAX(datetime_start) AS began, MAX(datetime_complete) AS ended FROM trials "
    "WHERE study_id = :study"
).columns(began=DateTime(), ended=DateTime())


class DatabaseLog(TrialLog):
    """Reads rows, so that Optuna need not keep every trial in memory."""

    @property
    def keeps_trials(self) -> bool:
        """Whether the study has Optuna's cache of trials in front of the database."""
        return hasattr(self._study._storage, "_backend")

    def attributes(
        self, *states: TrialState, without: tuple[str, ...] = ()
    ) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """The trials in these states: each one's id, number and user attributes.

        From Optuna's cache of trials where the study has one.
        """
        if self.keeps_trials:
            yield from super().attributes(*states, without=without)
            return
        after, outage = -1, None
        while True:
            try:
                for trial_id, number, stored in self._attributes_after(after, states, without):
                    yield trial_id, number, stored
                    after = trial_id
            except SQLAlchemyError as error:
                outage = self.patience.wait(error, outage)
            else:
                self.patience.ended(outage)
                return

    def _attributes_after(
        self, after: int, states: tuple[TrialState, ...], without: tuple[str, ...]
    ) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """The attributes of the trials whose ids are greater than `after`."""
        query = text(_ATTRIBUTES.format(states=_listed(states)))
        query = query.bindparams(bindparam("without", expanding=True))
        key = self._key | {"without": list(without), "after": after}
        attributes: dict[str, Any] = {}
        current: tuple[int, int] | None = None
        with self._engine.connect() as connection:
            rows = connection.execution_options(yield_per=ROWS).execute(query, key)
            for trial_id, number, name, value in rows:
                if current is not None and current[0] != trial_id:
                    yield *current, attributes
                    attributes = {}
                current = (trial_id, number)
                attributes[name] = json.loads(value)
        if current is not None:
            yield *current, attributes

    def system_attributes(self, prefix: str) -> Iterator[tuple[int, str, Any]]:
        """The system attributes of trials whose name begins so: trial's number, name and value."""
        for number, name, value in self._system_attribute_rows(f"{prefix}%"):
            yield number, name, json.loads(value)

    @patient
    def _system_attribute_rows(self, pattern: str) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(_SYSTEM_ATTRIBUTES, self._key | {"pattern": pattern}).all()

    @patient
    def count(self, state: TrialState) -> int:
        """How many trials are in a state."""
        return int(self._scalar(_COUNT.format(state=state.name)) or 0)

    @patient
    def count_with(self, attribute: str, *states: TrialState) -> int:
        """How many trials in any of these states have a user attribute."""
        if self.keeps_trials:  # the database would look at each trial's attributes
            trials = self._study.get_trials(deepcopy=False, states=states)
            return sum(attribute in trial.user_attrs for trial in trials)
        return int(self._scalar(_COUNT_WITH.format(states=_listed(states)), key=attribute) or 0)

    @patient
    def counted(self) -> int:
        """How many trials have ended and count, at one moment: other processes end some, too."""
        with self._engine.connect() as connection:
            return count_ended(connection, self._study._study_id)

    @patient
    def waiting(self) -> int:
        """How many queued trials this run may begin."""
        with self._engine.connect() as connection:
            queued = connection.execute(_QUEUED, self._key).scalars()
            return len(set(queued) - self._storage.passed_over)

    @patient
    def begun(self) -> int:
        """How many trials there are, in whatever state; their numbers have no gaps."""
        with self._engine.connect() as connection:
            last = connection.execute(_LAST, self._key).scalar()
        return 0 if last is None else int(last) + 1

    @patient
    def durations(self, most: int) -> list[float]:
        """Seconds that each of the last complete trials took, `most` of them."""
        with self._engine.connect() as connection:
            spans = connection.execute(_DURATIONS, self._key | {"most": most}).all()
        return [float((end - start).total_seconds()) for start, end in spans]

    @patient
    def last_change(self) -> datetime | None:
        """When a trial last began or ended, in local time; None before the first trial."""
        with self._engine.connect() as connection:
            times = connection.execute(_LAST_CHANGE, self._key).one()
        return max((time for time in times if time is not None), default=None)

    def queue_first(self, trials: Sequence[FrozenTrial]) -> None:
        """Queue the trials that a study begins with; none where it has trials already."""
        queue_first(self._storage, self._study._study_id, trials)

    def queue_at_end(self, trial: optuna.Trial, retry: FrozenTrial) -> None:
        """Queue `retry` in the transaction that ends a running trial."""
        self._storage.queue_at_end(trial._trial_id, retry)

    def ask(self, trials: int | None) -> optuna.Trial | None:
        """Begin the next trial; None where those that end and run are enough."""
        with self._storage.at_most(trials):
            try:
                return self._study.ask()
            except BudgetSpentError:
                return None

    def set_study_attribute_at_once(self, name: str, value: Any) -> None:
        """Store a user attribute of the study; a database that does not answer raises its error."""
        self._storage.set_study_user_attr_at_once(self._study._study_id, name, value)

    @patient
    def replace_constraints(self, constraints: Mapping[int, list[float]]) -> None:
        """Replace the constraints of finished trials, by their ids.

        Optuna does not change a finished trial, so its row is updated directly; samplers and the
        dashboard then see the new constraints.
        """
        rows = [{"trial": number, "value": json.dumps(new)} for number, new in constraints.items()]
        if not rows:
            return
        with self._engine.begin() as connection:
            connection.execute(_REPLACE_CONSTRAINTS, rows)
        if self.keeps_trials:
            # Optuna's cache holds finished trials with the old constraints: give it an empty one.
            self._study._storage = optuna.storages.get_storage(self._storage)

    def set_attributes(self, trial: optuna.Trial, attributes: Mapping[str, Any]) -> None:
        """Store several user attributes of a running trial, in one transaction."""
        self._storage.set_trial_user_attrs(trial._trial_id, attributes)
        trial._cached_frozen_trial.user_attrs.update(attributes)

    def reserve(self, trial: FrozenTrial | optuna.Trial, attribute: str, value: Any) -> bool:
        """Store an attribute, unless another running trial of the study has the same."""
        study_id = self._study._study_id
        reserved = self._storage.reserve(study_id, trial._trial_id, attribute, value)
        if reserved and isinstance(trial, optuna.Trial):
            trial._cached_frozen_trial.user_attrs[attribute] = value
        return reserved

    def one_reading(self) -> AbstractContextManager[None]:
        """Read the study's trials once for the length of a ``with`` block."""
        return self._storage.one_reading() if self.keeps_trials else nullcontext()

    def fail_dead_trials(self) -> int:
        """Mark trials whose process died as failed, queue them again; returns how many."""
        return Liveness(self._storage).fail_dead_trials(self._study)

    def running(self) -> list[Running]:
        """The trials that some process runs."""
        return Liveness(self._storage).running(self._study)

    def claim(self, part: str) -> Claim:
        """Work on the study that one process does for all."""
        return Claim(Claims(self._storage), f"{part} of study {self._study._study_id}")

    def pass_over(self, queued: Sequence[FrozenTrial]) -> None:
        """Leave these queued trials to other runs."""
        self._storage.passed_over = {trial._trial_id for trial in queued}

    def heartbeats(self) -> AbstractContextManager[None]:
        """Write heartbeats for the length of a ``with`` block."""
        return self._storage.beating()

    def check(self) -> None:
        """Raise `UpdateFinishedTrialError` where another process marked a trial as failed."""
        self._storage.check()

    def is_lost(self, trial: optuna.Trial) -> bool:
        """Whether a trial that was to end here had been marked as failed by another process."""
        return self._storage.runs(trial._trial_id)

    def done_with(self, trial: optuna.Trial) -> None:
        """Stop the heartbeats of a trial, however it ended."""
        self._storage.done_with(trial._trial_id)

    @property
    def patience(self) -> Patience:
        """How this process waits for the database."""
        return self._storage.patience

    @property
    def _storage(self) -> LivingStorage:
        storage: LivingStorage = storage_of(self._study)
        return storage

    @property
    def _engine(self) -> Engine:
        return engine_of(self._study)

    @property
    def _key(self) -> dict[str, Any]:
        return {"study": self._study._study_id}

    def _scalar(self, query: str, **values: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(text(query), self._key | values).scalar_one()


def engine_of(study: optuna.Study) -> Engine:
    """The database of a study."""
    engine: Engine = storage_of(study).engine
    return engine


def bypass_trial_cache(study: optuna.Study) -> optuna.Study:
    """Have the study's trials looked up in the database each time.

    Optuna would otherwise keep every trial in memory, and search all of them for queued ones.
    """
    study._storage = storage_of(study)
    return study


def index_by_state(study: optuna.Study) -> None:
    """Make an index by which the few queued or running trials are found among many."""
    with engine_of(study).begin() as connection:
        connection.execute(_BY_STATE)


def _listed(states: Iterable[TrialState]) -> str:
    return ", ".join(f"'{state.name}'" for state in states)
