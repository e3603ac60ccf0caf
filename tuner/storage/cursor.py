"""How far a replay has come: one number in the database, moved as a trial is given its point.

Both are written in one transaction. So a kill at any moment leaves a point either to be given or
with a trial that names it, and several workers never get the same. No trial is read for it: the
cost of the next point does not grow with the trials that there are. What is kept lies in Optuna's
own tables, so that it goes where a study is deleted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import optuna
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tuner.storage.queries import engine_of

POINT = "grid_id"  # trial attribute: the number of its point, where Optuna's GridSampler keeps it
POSITION = "tuner:position"  # study attribute: how many places of the order are behind it
COMPUTATION = "tuner:computation"  # trial attribute: a digest of what its point computes

_WHERE = "WHERE study_id = :study AND key = :key"
_BEGIN = text(
    "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (:study, :key, '0')"
)
_HOLD = text(f"UPDATE study_system_attributes SET value_json = value_json {_WHERE}")
_READ = text(f"SELECT value_json FROM study_system_attributes {_WHERE}")
_MOVE = text(f"UPDATE study_system_attributes SET value_json = :value {_WHERE}")
_GIVE = text(
    "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (:trial, :key, :value)"
)
_TAKEN = text(
    "SELECT value_json FROM trial_system_attributes JOIN trials USING (trial_id) "
    "WHERE study_id = :study AND key = :key"
)
# The key stands in the text: an index of a part of a table is used only where it is seen to fit.
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
    """A place of an order whose point is to be run."""

    position: int
    point: int  # its number in the product
    computation: str | None = None  # a digest, where equal ones are left out


Find = Callable[[int], Place | None]  # the first place to run at or after a position


class Cursor:
    """The position of a study in an order of points."""

    def __init__(self, study: optuna.Study) -> None:
        """Begins at zero where the study has none."""
        self._engine = engine_of(study)
        self._key = {"study": study._study_id, "key": POSITION}
        with self._engine.connect() as connection:
            begun = connection.execute(_READ, self._key).first() is not None
        if not begun:
            try:
                with self._engine.begin() as connection:
                    connection.execute(_BEGIN, self._key)
            except IntegrityError:
                pass  # another worker has begun a moment ago

    @property
    def position(self) -> int:
        """How many places are behind it."""
        with self._engine.connect() as connection:
            return int(connection.execute(_READ, self._key).scalar_one())

    def take(self, trial: int, find: Find) -> int | None:
        """Give a trial, by its id, the next point; None where there is none left."""
        with self._engine.begin() as connection:
            connection.execute(_HOLD, self._key)  # other workers wait from here on
            place = find(int(connection.execute(_READ, self._key).scalar_one()))
            if place is None:
                return None
            connection.execute(_MOVE, self._key | {"value": str(place.position + 1)})
            given = [{"trial": trial, "key": POINT, "value": str(place.point)}]
            if place.computation is not None:
                value = f'"{place.computation}"'
                given.append({"trial": trial, "key": COMPUTATION, "value": value})
            connection.execute(_GIVE, given)
        return place.point

    def index_computations(self) -> None:
        """Let `is_computed` look up instead of searching."""
        with self._engine.begin() as connection:
            connection.execute(_INDEX)

    def is_computed(self, computation: str) -> bool:
        """Whether a trial was given this computation."""
        key = {"study": self._key["study"], "value": f'"{computation}"'}
        with self._engine.connect() as connection:
            return connection.execute(_COMPUTED, key).first() is not None


def points_taken(study: optuna.Study) -> set[int]:
    """The numbers of all points that a trial was given; reads as much as there are."""
    key = {"study": study._study_id, "key": POINT}
    with engine_of(study).connect() as connection:
        return {int(value) for (value,) in connection.execute(_TAKEN, key)}
