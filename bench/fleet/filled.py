"""Writes finished trials into a database directly, so that a study is long from the start."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, func, insert, select

from bench.fleet.landscape import PROMPTS, Landscape
from tuner.measure.measurement import Measurement
from tuner.search.runner.stopping import StoppingRule, measure_until_stopped
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.storage.optuna_names import CONSTRAINTS
from tuner.study.recording import measured_attributes

TAKES = timedelta(seconds=6)
AT_ONCE = 1000  # rows that are sent together


def fill(storage: Storage, study: optuna.Study, landscape: Landscape, count: int) -> None:
    """Write `count` finished trials of random settings with a landscape's figures.

    The study must be new.
    """
    with storage.optuna.engine.begin() as connection:
        last = connection.execute(select(func.max(models.TrialModel.trial_id))).scalar() or 0
        rows = Rows(landscape, study._study_id, first_id=last + 1)
        for finished in finished_trials(landscape, count):
            rows.add(*finished)
        rows.write(connection)


def finished_trials(
    landscape: Landscape, count: int
) -> Iterator[tuple[Setting, Measurement, TrialState]]:
    """`count` distinct settings with what a trial measured of each, and how it ended."""
    rng, limits = np.random.default_rng(0), landscape.problem.limits
    for setting in _settings(landscape, count, rng):
        rule = StoppingRule(limits=limits, samples=PROMPTS, stops_early=True, setting=setting)
        measured, answer = measure_until_stopped(landscape.measure(setting, rng), rule)
        yield setting, measured, TrialState.PRUNED if answer.stops else TrialState.COMPLETE


class Rows:
    """The rows of finished trials in Optuna's tables."""

    def __init__(self, landscape: Landscape, study_id: int, first_id: int) -> None:
        """Rows of a study whose first trial gets the id `first_id`."""
        self._problem, self._study_id, self._first_id = landscape.problem, study_id, first_id
        self._distributions: dict[str, BaseDistribution] = dict(
            landscape.problem.space.distributions()
        )
        self._now = datetime.now()
        self._tables: dict[Any, list[dict[str, Any]]] = {
            models.TrialModel: [],
            models.TrialParamModel: [],
            models.TrialValueModel: [],
            models.TrialUserAttributeModel: [],
            models.TrialSystemAttributeModel: [],
        }

    def add(self, setting: Setting, measured: Measurement, state: TrialState) -> None:
        """Add the rows of the next trial."""
        number = len(self._tables[models.TrialModel])
        key = {"trial_id": self._first_id + number}
        self._tables[models.TrialModel].append(
            {
                **key,
                "number": number,
                "study_id": self._study_id,
                "state": state,
                "datetime_start": self._now,
                "datetime_complete": self._now + TAKES,
            }
        )
        self._tables[models.TrialParamModel] += [
            {
                **key,
                "param_name": name,
                "param_value": self._distributions[name].to_internal_repr(value),
                "distribution_json": distribution_to_json(self._distributions[name]),
            }
            for name, value in self._problem.space.flat(setting).items()
        ]
        values = (measured.speedup.value, measured.score_loss.value)
        self._tables[models.TrialValueModel] += [
            {**key, "objective": objective, "value": value, "value_type": "FINITE"}
            for objective, value in enumerate(values)
            if state == TrialState.COMPLETE
        ]
        self._tables[models.TrialUserAttributeModel] += [
            {**key, "key": name, "value_json": json.dumps(value)}
            for name, value in attributes(setting, measured).items()
        ]
        constraints = self._problem.limits.constraints(measured.score_loss.value, {})
        self._tables[models.TrialSystemAttributeModel].append(
            {**key, "key": CONSTRAINTS, "value_json": json.dumps(constraints)}
        )

    def write(self, connection: Connection) -> None:
        """Insert all rows; the next trial gets the next id."""
        for table, rows in self._tables.items():
            for begin in range(0, len(rows), AT_ONCE):
                connection.execute(insert(table), rows[begin : begin + AT_ONCE])
        if connection.dialect.name == "postgresql":
            query = "SELECT setval(pg_get_serial_sequence('trials', 'trial_id'), %(last)s)"
            last = self._first_id + len(self._tables[models.TrialModel]) - 1
            connection.exec_driver_sql(query, {"last": last})


def attributes(setting: Setting, measured: Measurement) -> dict[str, Any]:
    """The user attributes of a finished trial."""
    return {
        **measured_attributes(measured),
        "setting": setting.params,
        "combination": setting.combination,
        "same_pictures": measured.same_pictures,
        "scores": " ".join(f"{score:.4f}" for score in measured.scores),
        "ratios": " ".join(f"{ratio:.4f}" for ratio in measured.ratios),
    }


def _settings(landscape: Landscape, count: int, rng: np.random.Generator) -> list[Setting]:
    """Distinct settings, drawn at random."""
    space, settings = landscape.problem.space, dict[Setting, None]()
    offered = {name: list(values) for name, values in space.offered().items()}
    while len(settings) < count:
        flat = {name: values[rng.integers(len(values))] for name, values in offered.items()}
        setting = landscape.problem.canonical(space.setting(flat))
        if setting.accelerators:
            settings[setting] = None
    return list(settings)
