"""Writes finished trials into a database directly, so that a study is long from the start."""

import json
from datetime import datetime, timedelta

import numpy as np
import optuna
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import func, insert, select

from bench.fleet.landscape import Landscape
from tuner.search.runner.stopping import StoppingRule, measure_until_stopped
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.storage.optuna_names import CONSTRAINTS
from tuner.study.recording import measured_attributes

TAKES = timedelta(seconds=6)


def fill(storage: Storage, study: optuna.Study, landscape: Landscape, count: int) -> None:
    """Write `count` finished trials of random settings with a landscape's figures."""
    rng = np.random.default_rng(0)
    settings = _settings(landscape, count, rng)
    limits = landscape.problem.limits
    distributions = {
        name: optuna.distributions.distribution_to_json(distribution)
        for name, distribution in landscape.problem.space.distributions().items()
    }
    spaces = landscape.problem.space.distributions()
    rows: dict[type[models.BaseModel], list[dict[str, object]]] = {
        models.TrialModel: [],
        models.TrialParamModel: [],
        models.TrialValueModel: [],
        models.TrialUserAttributeModel: [],
        models.TrialSystemAttributeModel: [],
    }
    now = datetime.now()
    with storage.optuna.engine.begin() as connection:
        first = connection.execute(select(func.max(models.TrialModel.trial_id))).scalar() or 0
        for number, setting in enumerate(settings):
            trial_id = first + 1 + number
            rule = StoppingRule(limits=limits, samples=32, stops_early=True, setting=setting)
            measured, answer = measure_until_stopped(landscape.measure(setting, rng), rule)
            state = TrialState.PRUNED if answer.stops else TrialState.COMPLETE
            rows[models.TrialModel].append(
                {
                    "trial_id": trial_id,
                    "number": number,
                    "study_id": study._study_id,
                    "state": state,
                    "datetime_start": now,
                    "datetime_complete": now + TAKES,
                }
            )
            for name, value in landscape.problem.space.flat(setting).items():
                rows[models.TrialParamModel].append(
                    {
                        "trial_id": trial_id,
                        "param_name": name,
                        "param_value": spaces[name].to_internal_repr(value),
                        "distribution_json": distributions[name],
                    }
                )
            attributes = {
                **measured_attributes(measured),
                "setting": setting.params,
                "combination": setting.combination,
                "same_pictures": False,
                "scores": " ".join(f"{score:.4f}" for score in measured.scores),
                "ratios": " ".join(f"{ratio:.4f}" for ratio in measured.ratios),
            }
            rows[models.TrialUserAttributeModel] += [
                {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
                for key, value in attributes.items()
            ]
            constraints = limits.constraints(measured.score_loss.value, {})
            rows[models.TrialSystemAttributeModel].append(
                {"trial_id": trial_id, "key": CONSTRAINTS, "value_json": json.dumps(constraints)}
            )
            if state == TrialState.COMPLETE:
                values = (measured.speedup.value, measured.score_loss.value)
                rows[models.TrialValueModel] += [
                    {
                        "trial_id": trial_id,
                        "objective": objective,
                        "value": value,
                        "value_type": models.TrialValueModel.TrialValueType.FINITE,
                    }
                    for objective, value in enumerate(values)
                ]
        for table, values_of in rows.items():
            if values_of:
                connection.execute(insert(table), values_of)
        if storage.optuna.engine.dialect.name == "postgresql":
            query = "SELECT setval(pg_get_serial_sequence('trials', 'trial_id'), %(last)s)"
            connection.exec_driver_sql(query, {"last": first + count})


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
