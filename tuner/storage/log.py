"""The log of a study's trials, through which the search reads and changes them.

The runner and the samplers know `TrialLog` only. Trials in a database are counted and read by SQL
(`tuner.storage.database_log`); those of a study in memory, as `bench.search` makes them, are
Optuna's own objects (`tuner.storage.memory_log`).
"""

import optuna

from tuner.storage.database_log import DatabaseLog
from tuner.storage.living_storage import LivingStorage
from tuner.storage.memory_log import MemoryLog
from tuner.storage.trial_log import TrialLog, storage_of


def log_of(study: optuna.Study) -> TrialLog:
    """The log of a study's trials."""
    in_database = isinstance(storage_of(study), LivingStorage)
    return DatabaseLog(study) if in_database else MemoryLog(study)
