"""Reading trials by plain queries, and writing several attributes by one.

Optuna's own queries make an object of SQLAlchemy for each row, which takes most of their time; and
each worker of a study reads the trials of all others, the running ones again and again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from json import dumps, loads
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, inspect, select, text

AT_ONCE = 500  # trials of a query; SQLite has a limit on the values of one
# For each part of a trial the columns that are read of its table, after the trial's id.
PARTS: dict[str, tuple[Any, ...]] = {
    "params": (models.TrialParamModel, "param_name", "param_value", "distribution_json"),
    "values": (models.TrialValueModel, "objective", "value", "value_type"),
    "user_attrs": (models.TrialUserAttributeModel, "key", "value_json"),
    "system_attrs": (models.TrialSystemAttributeModel, "key", "value_json"),
    "steps": (
        models.TrialIntermediateValueModel,
        "step",
        "intermediate_value",
        "intermediate_value_type",
    ),
}
_SET = text(
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (:trial, :key, :value) "
    "ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
)


@dataclass
class TrialRow:
    """A row of the table of trials, with the rows of other tables that belong to it."""

    trial_id: int
    number: int
    state: TrialState
    _datetime_start_utc: datetime | None
    _datetime_complete_utc: datetime | None
    params: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    user_attrs: list[Any] = field(default_factory=list)
    system_attrs: list[Any] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)

    # Optuna stores times as UTC and returns local ones.
    datetime_start: ClassVar[Any] = models.TrialModel.datetime_start
    datetime_complete: ClassVar[Any] = models.TrialModel.datetime_complete

    def trial(self) -> FrozenTrial:
        """The trial, as Optuna builds it from the same rows."""
        distributions = {name: _distribution(kind) for name, _, kind in self.params}
        value = models.TrialValueModel.stored_repr_to_value
        step = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
        return FrozenTrial(
            number=self.number,
            state=self.state,
            value=None,
            values=[value(*stored) for _, *stored in sorted(self.values)] or None,
            datetime_start=self.datetime_start,
            datetime_complete=self.datetime_complete,
            params={
                name: distributions[name].to_external_repr(stored)
                for name, stored, _ in self.params
            },
            distributions=distributions,
            user_attrs={key: loads(stored) for key, stored in self.user_attrs},
            system_attrs={key: loads(stored) for key, stored in self.system_attrs},
            intermediate_values={number: step(*stored) for number, *stored in self.steps},
            trial_id=self.trial_id,
        )


def read_trials(connection: Connection, *conditions: ColumnElement[bool]) -> list[FrozenTrial]:
    """The trials that meet all conditions on `models.TrialModel`, in the order of their ids."""
    model = models.TrialModel
    query = select(
        model.trial_id,
        model.number,
        model.state,
        model._datetime_start_utc,
        model._datetime_complete_utc,
    ).where(*conditions)
    rows = {row.trial_id: TrialRow(*row) for row in connection.execute(query)}
    ids = sorted(rows)
    for some in (ids[begin : begin + AT_ONCE] for begin in range(0, len(ids), AT_ONCE)):
        for part, (table, *names) in PARTS.items():
            columns = [getattr(table, name) for name in names]
            of_some = select(table.trial_id, *columns).where(table.trial_id.in_(some))
            for trial_id, *stored in connection.execute(
                of_some.order_by(*inspect(table).primary_key)
            ):
                getattr(rows[trial_id], part).append(stored)
    return [rows[trial_id].trial() for trial_id in ids]


def set_user_attributes(
    connection: Connection, trial_id: int, attributes: Mapping[str, Any]
) -> None:
    """Store user attributes of a trial."""
    rows = [
        {"trial": trial_id, "key": key, "value": dumps(value)} for key, value in attributes.items()
    ]
    if rows:
        connection.execute(_SET, rows)


@lru_cache(maxsize=4096)
def _distribution(stored: str) -> BaseDistribution:
    """A distribution; those of all trials of a study are usually the same, and never changed."""
    return json_to_distribution(stored)
