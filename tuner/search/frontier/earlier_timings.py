"""Steps that were timed in a source study, in this study's terms.

What a step costs depends on its work, not on how many steps a picture has nor on the scheduler. So
steps that were timed on this machine with the same weights, size, guidance and batches tell the
costs in this study too; only their unit, the baseline's latency, is another one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from tuner.measure.cache_keys import key_of, step_parts, timed_parts
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.problem import Problem
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.baseline import PARTS

TIMED_STEPS = "timed steps"  # how the database calls them


def earlier_timings(
    study: optuna.Study, source: optuna.Study, storage: Storage, problem: Problem
) -> list[TimedSteps]:
    """The steps that a source study timed; none where it timed under other conditions.

    Args:
        study: the study that begins; its baseline was measured.
        source: the source study.
        storage: the database of both.
        problem: the source study's problem.
    """
    parts = timed_parts(source.user_attrs.get(PARTS, {}))
    own = timed_parts(study.user_attrs.get(PARTS, {}))
    if not parts or step_parts(parts) != step_parts(own):
        return []
    stored = storage.get(TIMED_STEPS, key_of(parts)) or {}
    timed = [entry for entry in stored.values() if "params" in entry]  # old versions have none
    unit = _baseline_latency(timed, study.user_attrs["request"]["steps"])
    return [] if unit is None else [_timed_steps(entry, unit, problem) for entry in timed]


def _baseline_latency(timed: Sequence[Mapping[str, Any]], steps: int) -> float | None:
    """This study's baseline latency in units of the source study's; None where it is not known."""
    for entry in timed:
        if not entry["params"]:
            return float(steps * np.mean(entry["steps"]) + entry["rest"])
    return None


def _timed_steps(entry: Mapping[str, Any], unit: float, problem: Problem) -> TimedSteps:
    setting = Setting.of(entry["params"])
    return TimedSteps(
        setting=setting,
        steps=tuple(seconds / unit for seconds in entry["steps"]),
        rest=entry["rest"] / unit,
        work=problem.work(setting),
    )
