"""Samplers by the names that people type: ours, and Optuna's."""

from collections.abc import Callable
from functools import cache

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from tuner import registry
from tuner.search.frontier.candidates import Candidates
from tuner.search.frontier.context import SearchContext
from tuner.search.frontier.sampler import Bound, FrontierSampler
from tuner.search.frontier.speed_model import to_time
from tuner.search.problem import Problem
from tuner.search.sweep.grid import grid
from tuner.search.sweep.walk import Walk
from tuner.spec import SWEEPS

RACES = frozenset({"frontier"})  # samplers that learn from a trial that was stopped early
LEARNS = frozenset({"frontier"})  # samplers that take what a related study has learned
TO_TIME = 5  # settings whose steps are timed at a study's start, beside the baseline's


def _frontier(seed: int, problem: Problem) -> BaseSampler:
    candidates = Candidates(problem.space, problem.canonical, seed)
    work = cache(problem.work)  # tens of megabytes at most
    knowledge = SearchContext(
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
    if begun and known(name) not in SWEEPS:
        seed = int(np.random.SeedSequence([seed, begun]).generate_state(1)[0])
    return SAMPLERS[known(name)](seed, problem)
