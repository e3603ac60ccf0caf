"""The searches that `bench.search` compares: ours, Optuna's, and the old script's walk.

Every sampler draws from exactly the table's product, each knob as an index. Ours stops trials
early and takes more prompts where a verdict needs them; the others spend 32 on every trial. Those
whose name says `known` begin with the same settings of the papers as ours, and those that say
`single` maximise the speedup alone under the limit; the others also lessen the loss.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from bench.replay import BLOCK, LIMIT, MORE, PROMPTS, SCATTER, TableSearch, TruthTable
from tuner.accelerators import Value
from tuner.search.frontier.context import Observation
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.frontier.speed_model import TimedSteps, settings_to_time
from tuner.search.samplers import TIMED_SETTINGS
from tuner.search.sweep.walk import inverted_knobs, is_more_aggressive, loops
from tuner.setting import Setting
from tuner.spec import Aim

Search = Callable[
    [TruthTable, int, int, Aim, bool], TableSearch
]  # table, seed, trials, aim, to the end


def optuna_search(
    make: Callable[[int], BaseSampler], *, known_good: bool = False, single: bool = False
) -> Search:
    """A search by one of Optuna's samplers."""

    def search(
        truth: TruthTable, seed: int, trials: int, aim: Aim, whole: bool = False
    ) -> TableSearch:
        replay = TableSearch(truth, seed, races=False)
        sampler = make(seed)
        up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        study = optuna.create_study(directions=[up] if single else [up, down], sampler=sampler)
        if known_good:
            for setting in known(truth):
                study.enqueue_trial(truth.index[setting])

        def objective(trial: optuna.Trial) -> Any:
            kept = replay.run(row_of(truth, trial))
            excess = kept["score_loss"] - LIMIT
            trial.storage.set_trial_system_attr(trial._trial_id, "constraints", [excess or 1e-12])
            if replay.arrived and not whole:
                study.stop()
            return kept["speedup"] if single else (kept["speedup"], kept["score_loss"])

        study.optimize(objective, n_trials=trials)
        return replay

    return search


def frontier(
    truth: TruthTable,
    seed: int,
    trials: int,
    aim: Aim,
    whole: bool = False,
    related: Sequence[Observation] = (),
    first: Sequence[Setting] = (),
) -> TableSearch:
    """A search by our own sampler; `first` is a related study's best, in place of the papers'."""
    replay = TableSearch(truth, seed, races=True, aim=aim)
    first = first or known(truth)
    timed = probes(truth, replay, [*(one.setting for one in related), *first])
    sampler = FrontierSampler(
        truth.knowledge,
        limit=LIMIT,
        aim=aim,
        seed=seed,
        timed=timed,
        warm_start=related,
        num_samples=PROMPTS,
        max_samples=PROMPTS + MORE,
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for setting in first:
        study.enqueue_trial(truth.index[setting])

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        kept = replay.run(row_of(truth, trial))
        for name, value in kept.items():
            trial.set_user_attr(name, value)
        everything = len(replay.results) + len(replay.stopped) == len(truth.table.settings)
        if (replay.arrived and not whole) or everything:
            study.stop()
        if kept["stopped"]:
            raise optuna.TrialPruned
        return kept["speedup"], kept["score_loss"]

    study.optimize(objective, n_trials=trials)
    return replay


def probes(truth: TruthTable, replay: TableSearch, measured: Sequence[Setting]) -> list[TimedSteps]:
    """The steps that are timed at the start, each after a warm-up; they cost prompts.

    The speedups of those `measured` are known, or going to be.
    """
    found = []
    chosen = settings_to_time(truth.table.settings, truth.knowledge.work, TIMED_SETTINGS, measured)
    for setting in (Setting(), *chosen) if chosen else ():
        seconds = np.array(truth.sums.steps(setting))
        steps = seconds * np.exp(replay.random.normal(0, 3 * SCATTER, len(seconds)))
        found.append(TimedSteps(setting=setting, steps=tuple(steps), rest=truth.sums.rest))
    replay.prompts += len(chosen) * 3 * BLOCK  # a batch to warm up, and one each with and without
    return found


def old_order(
    truth: TruthTable, seed: int, trials: int, aim: Aim, whole: bool = False
) -> TableSearch:
    """The old script's walk (`tuner.search.sweep.walk`)."""
    replay = TableSearch(truth, seed, races=False)
    points, inverted = loops(truth.offered), inverted_knobs()
    best: tuple[float, dict[str, Value]] | None = None
    done: set[int] = set()
    for number in range(points.count):
        if replay.trials >= trials or (replay.arrived and not whole):
            break
        point = points[number]
        if best is not None and not is_more_aggressive(point, best[1], inverted):
            continue
        places = (values.index(point[name]) for name, values in truth.offered.items())
        row = truth.by_index[tuple(places)]
        if row in done:
            replay.trials += 1
            replay.prompts += PROMPTS
            continue
        done.add(row)
        kept = replay.run(row)
        if kept["score_loss"] < LIMIT and (best is None or kept["speedup"] > best[0]):
            best = (kept["speedup"], point)
    return replay


def known(truth: TruthTable) -> list[Setting]:
    """The papers' settings in this product, the nearest where it does not hold them."""
    from tuner import registry

    components = registry.components("accelerators")
    found = []
    for index in range(3):
        point = {}
        for name, knobs in truth.product.values.items():
            good = components[name].known_good
            values = good[min(index, len(good) - 1)]
            for knob, offered in knobs.items():
                nearest = min(offered, key=lambda value: abs(value - values[knob]))
                point[f"{name}.{knob}"] = offered.index(nearest)
        row = truth.by_index[tuple(point[name] for name in truth.distributions)]
        if truth.table.settings[row] not in found:
            found.append(truth.table.settings[row])
    return found


def row_of(truth: TruthTable, trial: optuna.Trial) -> int:
    """Ask a trial for every knob's index."""
    point = tuple(trial.suggest_int(name, 0, one.high) for name, one in truth.distributions.items())
    return truth.by_index[point]


def _tpe(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def _gp(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)


SEARCHES: dict[str, Search] = {
    "frontier": frontier,
    "tpe": optuna_search(_tpe),
    "tpe-known": optuna_search(_tpe, known_good=True),
    "tpe-known-single": optuna_search(_tpe, known_good=True, single=True),
    "gp-known": optuna_search(_gp, known_good=True),
    "gp-known-single": optuna_search(_gp, known_good=True, single=True),
    "nsga2": optuna_search(
        lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    ),
    "random": optuna_search(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "old order": old_order,
}
