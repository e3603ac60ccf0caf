"""Samplers by the names that people type: ours, and Optuna's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from tuner import registry
from tuner.accelerators._features import Reuse, reuse, step_rows
from tuner.accelerators._plan import Plan, Shape, plan_of
from tuner.search.candidates import Candidates
from tuner.search.frontier import Bound, FrontierSampler
from tuner.search.grid import grid
from tuner.search.knowledge import Knowledge, Observation
from tuner.search.latency import TimedSteps, to_time
from tuner.search.limits import Limits
from tuner.search.space import Space
from tuner.search.walk import Walk
from tuner.setting import Setting, canonical, identity
from tuner.spec import REPLAYS, Aim

RACES = frozenset({"frontier"})  # samplers that learn from a trial that was stopped early
LEARNS = frozenset({"frontier"})  # samplers that take what a related study has learned
TO_TIME = 5  # settings whose steps are timed at a study's start, beside the baseline's


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a sampler may know of a study before any trial.

    `timed` times the steps of settings, or gives what an earlier run has timed.
    """

    space: Space
    shape: Shape
    steps: int
    limits: Limits
    timed: Callable[[list[Setting]], list[TimedSteps]]
    distinct: bool = False  # a grid leaves out what computes the same as a point before
    aim: Aim = "max"
    has_target: bool = False  # what was timed under another latency key is measured again
    related: Sequence[Observation] = ()  # what a related study's trials taught
    samples: int | None = None  # prompts of a trial
    prompts: int | None = None  # that a verdict may take
    known: Sequence[Setting] = ()  # whose speedups are measured, or are going to be at first

    def plan(self, setting: Setting) -> Plan:
        """What a setting computes."""
        return plan_of(setting.accelerators, self.shape, self.steps)

    def work(self, setting: Setting) -> np.ndarray:
        """The work of each step."""
        return step_rows(self.plan(setting))

    def reuse(self, setting: Setting) -> Reuse:
        """How much is reused; and knobs of what decides by the picture, zero where it is off."""
        plan = self.plan(setting)
        found = reuse(plan)
        by_data = []
        for kind, knobs in self.space.parts:
            values = plan.by_data.get(kind.name, ())
            by_data += [*values, *[0.0] * (len(knobs) - len(values))]
        return found._replace(summary=np.append(found.summary, by_data))

    def identity(self, setting: Setting) -> tuple[Any, ...]:
        """Equal for all that are the same computation."""
        return identity(setting, self.shape, self.steps)

    def canonical(self, setting: Setting) -> Setting:
        """One setting for all that are the same computation."""
        return canonical(setting, self.shape, self.steps)


def _frontier(seed: int, problem: Problem) -> BaseSampler:
    candidates = Candidates(problem.space, problem.canonical, seed)
    work = cache(problem.work)  # tens of megabytes at most
    knowledge = Knowledge(
        candidates=candidates.settings,
        distributions=dict(problem.space.distributions()),
        flat=lambda setting: dict(problem.space.flat(setting)),
        work=work,
        reuse=problem.reuse,
        around=None if candidates.complete else candidates.around,
        holds=problem.space.holds,
    )
    over = problem.limits.over
    measured = [one.setting for one in problem.related if one.speedup is not None]
    measured += map(problem.canonical, problem.known)
    return FrontierSampler(
        knowledge,
        limit=problem.limits.score_loss,
        bounds=[
            Bound(name=name, limit=limit, above=name in over)
            for name, limit in problem.limits.others.items()
        ],
        aim=problem.aim,
        has_target=problem.has_target,
        seed=seed,
        timed=problem.timed(to_time(candidates.settings, work, TO_TIME, measured)),
        related=problem.related,
        samples=problem.samples,
        prompts=problem.prompts,
    )


SAMPLERS: dict[str, Callable[[int, Problem], BaseSampler]] = {
    "frontier": _frontier,
    "tpe": lambda seed, _: optuna.samplers.TPESampler(seed=seed, n_startup_trials=12),
    "gp": lambda seed, _: optuna.samplers.GPSampler(seed=seed),
    "nsga2": lambda seed, _: optuna.samplers.NSGAIISampler(seed=seed),
    "random": lambda seed, _: optuna.samplers.RandomSampler(seed=seed),
    "grid": lambda seed, problem: grid(
        problem.space, seed, problem.identity if problem.distinct else None
    ),
    "walk": lambda _, problem: Walk(problem.space, problem.limits),
}


def known(name: str) -> str:
    """The sampler's name as it is listed; a `UsageError` lists those that there are."""
    found: str = registry.pick("sampler", name, {one: one for one in SAMPLERS})
    return found


def sampler(name: str, seed: int, problem: Problem, begun: int = 0) -> BaseSampler:
    """A sampler of this name, for a problem and a study in which so many trials were begun.

    One that goes on draws from where the study is, or it would name what it named the last time;
    the order of a replay's points stays.
    """
    if begun and known(name) not in REPLAYS:
        seed = int(np.random.SeedSequence([seed, begun]).generate_state(1)[0])
    return SAMPLERS[known(name)](seed, problem)
