"""Makes the samplers that `tuner.sampler_table` lists: this project's and Optuna's."""

from collections.abc import Callable
from functools import cache
from pkgutil import resolve_name

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from tuner.sampler_table import sampler_row
from tuner.search.frontier.candidates import Candidates
from tuner.search.frontier.context import SearchContext
from tuner.search.frontier.feasibility import Bound
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.frontier.speed_model import settings_to_time
from tuner.search.problem import Problem
from tuner.search.sweep.grid import grid
from tuner.search.sweep.walk import Walk
from tuner.setting import Setting
from tuner.spec import Aim, StudySpec

TIMED_SETTINGS = 5  # at most; their steps and the baseline's are timed when a study begins


def sampler(name: str, seed: int, problem: Problem, begun: int = 0) -> BaseSampler:
    """A sampler of this name, for a study in which `begun` trials were begun.

    A study that is continued gets another seed than at its start: with the same one the sampler
    would propose the same settings again. A sweep keeps its seed, and so the order of its points.

    Raises `UsageError` for an unknown name.
    """
    row = sampler_row(name)
    if begun and not row.sweeps:
        seed = int(np.random.SeedSequence([seed, begun]).generate_state(1)[0])
    make: Callable[[int, Problem], BaseSampler] = resolve_name(row.make)
    return make(seed, problem)


def aim_of(spec: StudySpec) -> Aim:
    """The aim of a study's search: the samplers of Optuna always look for the front."""
    is_ours = sampler_row(spec.sampler).stops_early
    return "front" if spec.aim == "max" and not is_ours else spec.aim


def make_frontier(seed: int, problem: Problem) -> BaseSampler:
    """This project's sampler: predicted speed, a learned model of the quality."""
    candidates = Candidates(problem.space, problem.canonical, seed)
    features = cache(problem.work_and_reuse)  # tens of megabytes at most

    def work(setting: Setting) -> np.ndarray:
        return features(setting)[0]

    context = SearchContext(
        candidates=candidates.settings,
        distributions=dict(problem.space.distributions()),
        flat=lambda setting: dict(problem.space.flat(setting)),
        work=work,
        reuse=lambda setting: features(setting)[1],
        neighbours=None if candidates.complete else candidates.neighbours,
        predictable=lambda setting: not problem.plan(setting).data_dependent,
        holds=problem.space.holds,
    )
    measured = [trial.setting for trial in problem.warm_start if trial.speedup is not None]
    measured += map(problem.canonical, problem.known)
    earlier = problem.timed_before
    to_time = settings_to_time(candidates.settings, work, TIMED_SETTINGS, measured, earlier)
    over = problem.limits.over
    return FrontierSampler(
        context,
        limit=problem.limits.score_loss,
        bounds=[
            Bound(name=name, limit=limit, above=name in over)
            for name, limit in problem.limits.others.items()
        ],
        aim=problem.aim,
        target=problem.target,
        min_gain=problem.min_gain,
        seed=seed,
        timed=[*earlier, *problem.timed(to_time)],
        warm_start=problem.warm_start,
        num_samples=problem.num_samples,
        max_samples=problem.max_samples,
    )


def make_tpe(seed: int, problem: Problem) -> BaseSampler:
    """Optuna's tree-structured Parzen estimator."""
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=12)


def make_gp(seed: int, problem: Problem) -> BaseSampler:
    """Optuna's Gaussian process."""
    return optuna.samplers.GPSampler(seed=seed)


def make_nsga2(seed: int, problem: Problem) -> BaseSampler:
    """Optuna's genetic algorithm."""
    return optuna.samplers.NSGAIISampler(seed=seed)


def make_random(seed: int, problem: Problem) -> BaseSampler:
    """Optuna's independent uniform draws."""
    return optuna.samplers.RandomSampler(seed=seed)


def make_grid(seed: int, problem: Problem) -> BaseSampler:
    """The exhaustive sweep, or that of the distinct computations."""
    return grid(problem.space, seed, problem.identity if problem.distinct else None)


def make_walk(seed: int, problem: Problem) -> BaseSampler:
    """The old script's sweep; nothing in it is random."""
    return Walk(problem.space, problem.limits)
