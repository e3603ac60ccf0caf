"""When a run of several workers began with a study, by the clock of the database.

The clocks of the workers' hosts may differ; the database's is one for all.
"""

from datetime import datetime

import optuna
from sqlalchemy import func, select

from tuner.storage.database_log import engine_of
from tuner.storage.optuna_names import OURS
from tuner.storage.trial_log import storage_of

BEGAN = f"{OURS}began"  # system attribute of a study: the name of its last run, and when it began


def begun_s(study: optuna.Study, run: str) -> float:
    """Seconds since the first worker of a run began with a study: 0 for the first one."""
    storage = storage_of(study)
    now: datetime = storage.patience.run(lambda: _now(study))
    stored = storage.get_study_system_attrs(study._study_id).get(BEGAN, {})
    if stored.get("run") != run:
        storage.set_study_system_attr(study._study_id, BEGAN, {"run": run, "at": now.isoformat()})
        return 0.0
    return (now - datetime.fromisoformat(stored["at"])).total_seconds()


def _now(study: optuna.Study) -> datetime:
    with engine_of(study).connect() as connection:
        now: datetime = connection.execute(select(func.now())).scalar_one()
    return now
