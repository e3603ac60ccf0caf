"""The trials of a study as rows of its database: counted, and read without keeping them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy import Engine, bindparam, text

BY_STATE = text("CREATE INDEX IF NOT EXISTS tuner_trials_by_state ON trials (study_id, state)")
ENDED = tuple(state for state in TrialState if state.is_finished())
_JUDGE = text(
    "UPDATE trial_system_attributes SET value_json = :value "
    "WHERE trial_id = :trial AND key = 'constraints'"
)
CHUNK = 10_000  # rows that are fetched together
_LAST = text("SELECT number FROM trials WHERE study_id = :study ORDER BY trial_id DESC LIMIT 1")
_QUEUED = text("SELECT trial_id FROM trials WHERE study_id = :study AND state = 'WAITING'")
# States stand in the text: elsewhere than in SQLite their column has a type of its own.
_COUNT = "SELECT COUNT(*) FROM trials WHERE study_id = :study AND state = '{state}'"
_WITH = (
    "SELECT COUNT(*) FROM trials JOIN trial_user_attributes "
    "ON trial_user_attributes.trial_id = trials.trial_id "
    "WHERE study_id = :study AND key = :key AND state IN ({states})"
)
_ATTRIBUTES = (
    "SELECT trials.trial_id, number, key, value_json FROM trials "
    "JOIN trial_user_attributes ON trial_user_attributes.trial_id = trials.trial_id "
    "WHERE study_id = :study AND state IN ({states}) AND key NOT IN :without "
    "ORDER BY trials.trial_id"
)


def backend_of(study: optuna.Study) -> Any:
    """The study's storage itself, without Optuna's memory of trials before it."""
    storage: Any = study._storage
    return getattr(storage, "_backend", storage)


def engine_of(study: optuna.Study) -> Engine:
    """The database of a study."""
    found: Engine = backend_of(study).engine
    return found


def bypass_trial_cache(study: optuna.Study) -> optuna.Study:
    """Have the study's trials looked up in the database, as many as there may be.

    Optuna would otherwise keep every trial in memory, and go through all for those that wait.
    """
    study._storage = backend_of(study)
    return study


def index_by_state(study: optuna.Study) -> None:
    """Let the few trials that wait or run be found among many."""
    with engine_of(study).begin() as connection:
        connection.execute(BY_STATE)


def count(study: optuna.Study, state: TrialState) -> int:
    """How many trials are in a state."""
    query = text(_COUNT.format(state=state.name))
    with engine_of(study).connect() as connection:
        return int(connection.execute(query, {"study": study._study_id}).scalar_one())


def waiting(study: optuna.Study) -> int:
    """How many queued trials this run may begin; `passed_over` names the others."""
    with engine_of(study).connect() as connection:
        found = connection.execute(_QUEUED, {"study": study._study_id}).scalars()
        return len(set(found) - backend_of(study).passed_over)


def begun(study: optuna.Study) -> int:
    """How many trials there are, in whatever state; their numbers have no gaps."""
    with engine_of(study).connect() as connection:
        last = connection.execute(_LAST, {"study": study._study_id}).scalar()
    return 0 if last is None else int(last) + 1


def finished(study: optuna.Study) -> int:
    """How many trials have ended, in whatever way."""
    return begun(study) - count(study, TrialState.RUNNING) - count(study, TrialState.WAITING)


def count_with(study: optuna.Study, key: str, *states: TrialState) -> int:
    """How many trials in any of these states keep a user attribute."""
    query = text(_WITH.format(states=_listed(states)))
    with engine_of(study).connect() as connection:
        found = connection.execute(query, {"study": study._study_id, "key": key})
        return int(found.scalar_one())


def attributes(
    study: optuna.Study, *states: TrialState, without: tuple[str, ...] = ()
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Each trial of these states by its number: its id, its number, and its user attributes."""
    query = text(_ATTRIBUTES.format(states=_listed(states)))
    query = query.bindparams(bindparam("without", expanding=True))
    key = {"study": study._study_id, "without": list(without)}
    found: dict[str, Any] = {}
    at: tuple[int, int] | None = None
    with engine_of(study).connect() as connection:
        rows = connection.execution_options(yield_per=CHUNK).execute(query, key)
        for trial, number, name, value in rows:
            if at is not None and at[0] != trial:
                yield *at, found
                found = {}
            at = (trial, number)
            found[name] = json.loads(value)
    if at is not None:
        yield *at, found


def judge(study: optuna.Study, constraints: Mapping[int, list[float]]) -> None:
    """Store other constraints of finished trials, by their ids.

    Optuna closes a finished trial, so its row is changed where it lies; samplers and the dashboard
    then see what is true now.
    """
    judged = [{"trial": one, "value": json.dumps(new)} for one, new in constraints.items()]
    if not judged:
        return
    with engine_of(study).begin() as connection:
        connection.execute(_JUDGE, judged)
    storage: Any = study._storage
    if hasattr(storage, "_backend"):
        # It remembers finished trials; give it a memory that has not seen the old constraints.
        study._storage = optuna.storages.get_storage(storage._backend)


def _listed(states: Iterable[TrialState]) -> str:
    return ", ".join(f"'{one.name}'" for one in states)
