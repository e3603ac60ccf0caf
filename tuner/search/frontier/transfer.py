"""The warm start of a search from a source study: an earlier one in the same storage.

A source study has the same weights, resolution and score metric. It may differ in the scheduler,
the number of steps, the guidance, the prompts, the device and whatever else.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna

from tuner.search.frontier.context import Observation, observation
from tuner.search.frontier.earlier_timings import earlier_timings
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.problem import Problem
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.study.results import read_results
from tuner.study.reuse import MEASURED
from tuner.study.schema import LONG
from tuner.study.verifications import read_verifications

SAME_SCORES = (
    "weights",
    "resolution",
    "metric",
    "pipeline",
    "call",
)  # must be equal for losses to be comparable
SAME_SPEEDS = (
    "device",
    "batch",
    "dtype",
    "compile",
    "guidance",
    "call",
)  # must be equal for speedups, besides
ENOUGH = 20  # settings from which no further source study is read
MAX_TRIALS = 2000  # a study with more, such as a long sweep, is not read


@dataclass(frozen=True, kw_only=True)
class SourceStudy:
    """One study or more: their observations and the feasible settings, fastest first."""

    name: str
    observations: list[Observation]
    feasible: list[Setting]

    @property
    def best(self) -> Setting | None:
        """The fastest feasible setting."""
        return next(iter(self.feasible), None)

    def __str__(self) -> str:
        """Its name, and what it gives."""
        count = len(self.observations)
        return f"{self.name} ({count} setting{'' if count == 1 else 's'})"

    def first(self, aim: Aim) -> list[Setting]:
        """What a study with this aim measures first: the fastest, or that of each combination."""
        return first_of_each(self.feasible) if aim == "combinations" else self.feasible[:1]


def first_of_each(settings: Sequence[Setting]) -> list[Setting]:
    """The first of the settings of each combination of accelerators."""
    first: dict[str, Setting] = {}
    for setting in settings:
        first.setdefault(setting.combination, setting)
    return list(first.values())


def source_study(study: optuna.Study, storage: Storage, problem: Problem) -> SourceStudy | None:
    """The closest study that has measured settings of this problem's space.

    Where it has measured fewer than `ENOUGH`, as many of the closest as have enough together, as
    one. None where there is no such study.

    The closest is first the one whose number of steps is nearest: with the same number a setting is
    the same computation, as fast, with the same reuse, whatever the scheduler. Then comes the same
    scheduler, then the fewest differences in the way of evaluating. The feasible settings are those
    of the closest study that has any.
    """
    names, observations, feasible = [], list[Observation](), list[Setting]()
    for source in _comparable(study, storage):
        found = _observations(source, study.user_attrs, problem)
        if found:
            names.append(source.study_name)
            observations += found
            feasible = feasible or list(_feasible(source, problem))
        if len(observations) >= ENOUGH:
            break
    if not observations:
        return None
    return SourceStudy(
        name=" and ".join(names) if len(names) <= 2 else f"{names[0]} and {len(names) - 1} others",
        observations=observations,
        feasible=feasible,
    )


def _comparable(study: optuna.Study, storage: Storage) -> list[optuna.Study]:
    """The other studies of the same weights, resolution and score, the closest first."""
    sources = []
    for name in storage.study_names():
        other = storage.study(name)
        same_scores = _has_same_scores(study.user_attrs, other.user_attrs)
        if name != study.study_name and same_scores and log_of(other).finished() <= MAX_TRIALS:
            sources.append(other)
    return sorted(sources, key=lambda other: _distance(study.user_attrs, other.user_attrs))


def timed_elsewhere(study: optuna.Study, storage: Storage, problem: Problem) -> list[TimedSteps]:
    """The timed steps of the closest study that has any: others took over those of another one.

    They must tell what a step costs in this study, whose baseline was measured.
    """
    for source in _comparable(study, storage):
        timed = earlier_timings(study, source, storage, _source_problem(source, problem))
        if timed:
            return timed
    return []


def _has_same_scores(target: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether the losses of two studies are comparable, by the studies' attributes."""
    return "request" in source and _same(target, source, SAME_SCORES)


def _same(target: Mapping[str, Any], source: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    mine, other = target["evaluation"], source["evaluation"]
    return all(mine.get(name) == other.get(name) for name in names)


def _distance(target: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[float, bool, int]:
    mine, other = target["evaluation"], source["evaluation"]
    return (
        abs(math.log(target["request"]["steps"] / source["request"]["steps"])),
        target["request"]["sched"] != source["request"]["sched"],
        sum(mine.get(name) != other.get(name) for name in mine.keys() | other.keys()),
    )


def measured_observations(study: optuna.Study) -> Iterator[Observation]:
    """What each trial of a study measured, stopped ones included, in the order of their numbers.

    A verification counts in place of the trial's own figures.
    """
    verifications = read_verifications(study)
    for _, number, stored in log_of(study).attributes(*MEASURED, without=LONG):
        yield observation({**stored, **verifications.get(number, {})})


def _observations(
    source: optuna.Study, target: Mapping[str, Any], problem: Problem
) -> list[Observation]:
    """What a source study measured of settings in this space.

    What a setting reuses is a share of
    the source study's steps. Its speedup counts only where a step is the same work on the same
    device.
    """
    source_problem = _source_problem(source, problem)
    same_speeds = _has_same_speeds(source, target, problem)
    space = replace(problem.space, canonical=source_problem.canonical)
    by_setting: dict[Setting, Observation] = {}
    for result in measured_observations(source):
        setting = _translated(result.setting, space, problem)
        earlier = by_setting.get(result.setting)
        counts = earlier is None or not result.is_superseded_by(earlier)
        if counts and setting is not None and setting.accelerators:
            by_setting[result.setting] = replace(
                result,
                setting=setting,
                speedup=result.speedup if same_speeds else None,
                timing=result.timing if same_speeds else None,
                reused=source_problem.reuse(result.setting),
            )
    return list(by_setting.values())


def _feasible(source: optuna.Study, problem: Problem) -> Iterator[Setting]:
    """Settings within this problem's limits, fastest first.

    Limits of metrics that the source study did not measure are left out.
    """
    space = replace(problem.space, canonical=_source_problem(source, problem).canonical)
    for result in sorted(read_results(source), key=lambda result: -result.speedup.value):
        measured = {
            name: limit for name, limit in problem.limits.others.items() if name in result.fidelity
        }
        setting = _translated(result.setting, space, problem)
        feasible = result.feasible(replace(problem.limits, others=measured))
        if feasible and setting is not None and setting.accelerators:
            yield setting


def _has_same_speeds(source: optuna.Study, target: Mapping[str, Any], problem: Problem) -> bool:
    """Whether a setting is the same work on the same device in a source study as in the target."""
    same_steps = source.user_attrs["request"]["steps"] == problem.steps
    return same_steps and _same(target, source.user_attrs, SAME_SPEEDS)


def _source_problem(source: optuna.Study, problem: Problem) -> Problem:
    """This problem with the source study's number of steps."""
    return replace(problem, steps=source.user_attrs["request"]["steps"])


def _translated(setting: Setting, space: Space, problem: Problem) -> Setting | None:
    """The canonical form in this problem of a source study's setting.

    `space` is this problem's with the source study's canonical form. None where it has no setting
    of the same computation.
    """
    own = space.equivalent(setting)
    return None if own is None else problem.canonical(own)
