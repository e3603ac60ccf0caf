"""What a related study in the same storage has learned, for a search that begins.

Related are studies of the same weights at the same resolution and by the same score; they differ
in the scheduler, the number of steps, the guidance, the prompts, the device or whatever else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.search.frontier.context import Observation, observation
from tuner.search.problem import Problem
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.study.results import read_results
from tuner.study.schema import LONG
from tuner.study.verifications import read_verifications

ALIKE = ("weights", "resolution", "metric")  # of the evaluation: else losses tell nothing
TIMED_ALIKE = ("device", "batch", "dtype", "guidance")  # else speedups tell nothing
LEAST = 5  # settings that a study must have measured to be learned from
MOST = 2000  # trials: a long replay is not read


@dataclass(frozen=True, kw_only=True)
class Related:
    """A related study: what its trials taught, and its fastest feasible setting, if any."""

    name: str
    observations: list[Observation]
    best: Setting | None


def related(study: optuna.Study, storage: Storage, problem: Problem) -> Related | None:
    """What the most related study teaches about a problem; None where no study has enough.

    The nearer its number of steps, the more related: with the same number a setting is the same
    computation, as fast, and reuses what is as old, whatever the scheduler. Then comes the same
    scheduler, then the way of evaluating with the fewest differences.
    """
    found = []
    for name in storage.study_names():
        other = storage.study(name)
        alike = name != study.study_name and _alike(study.user_attrs, other.user_attrs)
        if alike and log_of(other).finished() <= MOST:
            found.append(other)
    for other in sorted(found, key=lambda one: _distance(study.user_attrs, one.user_attrs)):
        observations = _taught(other, study.user_attrs, problem)
        if len(observations) >= LEAST:
            best = _best(other, problem)
            return Related(name=other.study_name, observations=observations, best=best)
    return None


def _alike(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether another study's losses may teach anything; both are told by their attributes."""
    return "request" in there and _same(here, there, ALIKE)


def _same(here: Mapping[str, Any], there: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    mine, other = here["evaluation"], there["evaluation"]
    return all(mine.get(name) == other.get(name) for name in names)


def _distance(here: Mapping[str, Any], there: Mapping[str, Any]) -> tuple[float, bool, int]:
    mine, other = here["evaluation"], there["evaluation"]
    return (
        abs(math.log(here["request"]["steps"] / there["request"]["steps"])),
        here["request"]["sched"] != there["request"]["sched"],
        sum(mine.get(name) != other.get(name) for name in mine.keys() | other.keys()),
    )


def _taught(other: optuna.Study, here: Mapping[str, Any], problem: Problem) -> list[Observation]:
    """What its trials taught of settings in this space, stopped ones and second looks included.

    What a setting reuses is a share of its own study's steps. Its speedup stands only where a step
    is the same work on the same device.
    """
    there = other.user_attrs
    elsewhere = replace(problem, steps=there["request"]["steps"])
    timed = elsewhere.steps == problem.steps and _same(here, there, TIMED_ALIKE)
    space = _space_of(other, problem)
    found: dict[Setting, Observation] = {}
    ended = TrialState.COMPLETE, TrialState.PRUNED
    again = read_verifications(other)
    for _, number, kept in log_of(other).attributes(*ended, without=LONG):
        one = observation({**kept, **again.get(number, {})})
        setting = _here(one.setting, space, problem)
        known = found.get(one.setting)
        more = known is None or not one.fewer(known)
        if more and setting is not None and setting.accelerators:
            found[one.setting] = replace(
                one,
                setting=setting,
                speedup=one.speedup if timed else None,
                reused=elsewhere.reuse(one.setting),
            )
    return list(found.values())


def _best(other: optuna.Study, problem: Problem) -> Setting | None:
    """Its fastest setting within today's limits, as far as it has measured what they are of."""
    space = _space_of(other, problem)
    for one in sorted(read_results(other), key=lambda result: -result.speedup.value):
        known = {k: v for k, v in problem.limits.others.items() if k in one.fidelity}
        setting = _here(one.setting, space, problem)
        feasible = one.feasible(replace(problem.limits, others=known))
        if feasible and setting is not None and setting.accelerators:
            return setting
    return None


def _space_of(other: optuna.Study, problem: Problem) -> Space:
    """This space, with what is the same computation in another study's number of steps."""
    elsewhere = replace(problem, steps=other.user_attrs["request"]["steps"])
    return replace(problem.space, canonical=elsewhere.canonical)


def _here(setting: Setting, space: Space, problem: Problem) -> Setting | None:
    """A setting of another study as it is named here; None where this space has none for it."""
    own = space.own(setting)
    return None if own is None else problem.canonical(own)
