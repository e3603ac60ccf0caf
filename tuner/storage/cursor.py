"""How far a sweep has come: a position in the database that moves as each trial gets its point.

The position and the trial's point are written in one transaction. So a kill at any moment leaves a
point either free or assigned to a trial, and two processes never get the same point. No trial is
read for it: the cost of the next point does not grow with the number of trials. Everything is
stored in Optuna's own tables, so that it is deleted together with its study.
"""

from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from tuner.storage.creating import created
from tuner.storage.database_log import engine_of
from tuner.storage.optuna_names import POINT
from tuner.storage.patience import patient
from tuner.storage.trial_log import storage_of

POSITION = "tuner:position"  # study attribute: the position
COMPUTATION = "tuner:computation"  # trial attribute: a digest of what its point computes

_WHERE = "WHERE study_id = :study AND key = :key"
_INSERT = text(
    "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (:study, :key, '0')"
)
_LOCK = text(f"UPDATE study_system_attributes SET value_json = value_json {_WHERE}")
_READ = text(f"SELECT value_json FROM study_system_attributes {_WHERE}")
_MOVE = text(f"UPDATE study_system_attributes SET value_json = :value {_WHERE}")
_ASSIGN = text(
    "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (:trial, :key, :value)"
)
_POINT = text(
    "SELECT value_json FROM trial_system_attributes WHERE trial_id = :trial AND key = :key"
)
_TAKEN = text(
    "SELECT value_json FROM trial_system_attributes JOIN trials USING (trial_id) "
    "WHERE study_id = :study AND key = :key"
)
# The key is part of the text: a partial index is used only where the query shows that it fits.
_INDEX = text(
    "CREATE INDEX IF NOT EXISTS tuner_computations ON trial_system_attributes (value_json) "
    f"WHERE key = '{COMPUTATION}'"
)
_COMPUTED = text(
    "SELECT 1 FROM trial_system_attributes JOIN trials USING (trial_id) "
    f"WHERE study_id = :study AND key = '{COMPUTATION}' AND value_json = :value LIMIT 1"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A position in the order of a sweep, and the point that is to be run there."""

    position: int
    point: int  # its number in the product
    computation: str | None = None  # a digest of what is computed, where duplicates are skipped


Find = Callable[[int], Place | None]  # the first point to be run at or after a position


class Cursor:
    """The position of a study in the order of its points."""

    def __init__(self, study: optuna.Study) -> None:
        """Starts at zero where the study has no position yet."""
        self._engine = engine_of(study)
        self.patience = storage_of(study).patience
        self._key = {"study": study._study_id, "key": POSITION}
        self._begin()

    @patient
    def _begin(self) -> None:
        with self._engine.connect() as connection:
            begun = connection.execute(_READ, self._key).first() is not None
        if not begun:
            try:
                with self._engine.begin() as connection:
                    connection.execute(_INSERT, self._key)
            except IntegrityError:
                pass  # another process has inserted it a moment ago

    @property
    def position(self) -> int:
        """How many places have been passed."""
        return self._read()

    @patient
    def _read(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(_READ, self._key).scalar_one())

    def take(self, trial: FrozenTrial, find: Find) -> int | None:
        """Assign the next point to a trial; None where none is left."""
        point: int | None = self.patience.run(
            lambda: self._take(trial, find), lambda: self._taken(trial)
        )
        return point

    def _taken(self, trial: FrozenTrial) -> int | None:
        """The point of a trial; None where it has none."""
        with self._engine.connect() as connection:
            point = connection.execute(_POINT, {"trial": trial._trial_id, "key": POINT}).scalar()
        return None if point is None else int(point)

    def _take(self, trial: FrozenTrial, find: Find) -> int | None:
        with self._engine.begin() as connection:
            connection.execute(_LOCK, self._key)  # from here on other processes wait
            place = find(int(connection.execute(_READ, self._key).scalar_one()))
            if place is None:
                return None
            connection.execute(_MOVE, self._key | {"value": str(place.position + 1)})
            assigned = [{"trial": trial._trial_id, "key": POINT, "value": str(place.point)}]
            if place.computation is not None:
                value = f'"{place.computation}"'
                assigned.append({"trial": trial._trial_id, "key": COMPUTATION, "value": value})
            connection.execute(_ASSIGN, assigned)
        return place.point

    @patient
    def index_computations(self) -> None:
        """Make the index that `is_computed` uses."""

        def index() -> None:
            with self._engine.begin() as connection:
                connection.execute(_INDEX)

        created(index, (IntegrityError, ProgrammingError))  # `patient` waits for other errors

    @patient
    def is_computed(self, computation: str) -> bool:
        """Whether a trial was assigned a point of this computation."""
        key = {"study": self._key["study"], "value": f'"{computation}"'}
        with self._engine.connect() as connection:
            return connection.execute(_COMPUTED, key).first() is not None


def points_taken(study: optuna.Study) -> set[int]:
    """The numbers of all points that were assigned to trials; reads every trial."""
    key = {"study": study._study_id, "key": POINT}
    with engine_of(study).connect() as connection:
        return {int(value) for (value,) in connection.execute(_TAKEN, key)}
