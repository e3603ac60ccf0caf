"""The searches that `bench.search` compares: `frontier`, Optuna's samplers, the old script's walk.

Every sampler searches exactly the table's product, with each knob as an index into its values.
`frontier` stops trials early and takes more prompts for inconclusive settings; the others spend 32
prompts on every trial. Searches named `known` begin with the papers' settings, as `frontier` does.
Searches named `single` maximize the speedup alone, with the score loss as a constraint; the other
samplers of Optuna also minimize the loss. Searches named `target` are told the speedup that is
looked for: `frontier` as by `tuner run --req-speedup`, while samplers of Optuna minimize the loss
with that speedup as a constraint.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from bench.lib.table_costs import BATCH, PROMPTS
from bench.lib.table_search import MORE, TableSearch
from bench.lib.truth_table import LIMIT, SHARE, TruthTable, row_of
from tuner.accelerators import Value
from tuner.search.frontier.context import Observation
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.frontier.speed_model import TimedSteps, settings_to_time
from tuner.search.samplers import TIMED_SETTINGS
from tuner.search.sweep.walk import inverted_knobs, is_more_aggressive, loops
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.storage.log import log_of

STEP_SCATTER = 0.03  # of the time of one step

Search = Callable[
    [TruthTable, int, int, Aim, bool], TableSearch
]  # table, seed, trials, aim, whether to go on after arriving


def optuna_search(
    make: Callable[[int], BaseSampler],
    *,
    known_good: bool = False,
    single: bool = False,
    target: bool = False,
) -> Search:
    """A search by one of Optuna's samplers."""

    def search(
        truth: TruthTable, seed: int, trials: int, aim: Aim, whole: bool = False
    ) -> TableSearch:
        table = TableSearch(truth, seed)
        sampler = make(seed)
        up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        directions = [up] if single else [down] if target else [up, down]
        study = optuna.create_study(directions=directions, sampler=sampler)
        if known_good:
            for setting in known(truth):
                study.enqueue_trial(truth.index[setting])

        def objective(trial: optuna.Trial) -> Any:
            measured = table.evaluate(row_of(truth, trial))
            speedup, loss = measured.speedup.value, measured.score_loss.value
            excess = SHARE * truth.best - speedup if target else loss - LIMIT
            log_of(study).set_constraints(trial, [excess or 1e-12])
            if table.arrived and not whole:
                study.stop()
            return speedup if single else loss if target else (speedup, loss)

        study.optimize(objective, n_trials=trials)
        return table

    return search


def frontier(
    truth: TruthTable,
    seed: int,
    trials: int,
    aim: Aim,
    whole: bool = False,
    related: Sequence[Observation] = (),
    first: Sequence[Setting] = (),
    *,
    resolves: bool = False,
    min_gain: float | None = None,
    target: bool = False,
) -> TableSearch:
    """A search by the sampler `frontier`, with the tuner's runner.

    Args:
        truth: the table that it searches.
        seed: random seed of its prompts and its sampler.
        trials: maximum number of trials.
        aim: the sampler's aim.
        whole: go on after it has arrived.
        related: observations of a source study, for a warm start.
        first: settings to begin with, instead of the papers'.
        resolves: resolve inconclusive settings of the front at the end.
        min_gain: end once no setting is expected to improve the result by this share.
        target: tell the sampler which speedup is looked for.
    """
    search = TableSearch(truth, seed, aim=aim)
    # As `tuner.study_run` begins a study.
    first = first or (known(truth)[:1] if aim == "max" else known(truth))
    timed = probes(truth, search, [*(observation.setting for observation in related), *first])
    sampler = FrontierSampler(
        truth.context,
        limit=LIMIT,
        aim=aim,
        target=(lambda: SHARE * truth.best) if target else None,
        min_gain=min_gain,
        seed=seed,
        timed=timed,
        warm_start=related,
        num_samples=PROMPTS,
        max_samples=PROMPTS + MORE,
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    # With a target a setting that missed a limit may be resolved too.
    search.run(study, trials, first=first, whole=whole, resolves=resolves or target)
    return search


def probes(truth: TruthTable, search: TableSearch, measured: Sequence[Setting]) -> list[TimedSteps]:
    """The settings whose steps are timed at the start; they cost prompts.

    The speedups of the settings `measured` are known, or will be measured by the first trials.
    """
    timed = []
    chosen = settings_to_time(truth.table.settings, truth.context.work, TIMED_SETTINGS, measured)
    for setting in (Setting(), *chosen) if chosen else ():
        seconds = np.array(truth.latencies.steps(setting))
        steps = seconds * np.exp(search.random.normal(0, STEP_SCATTER, len(seconds)))
        timed.append(TimedSteps(setting=setting, steps=tuple(steps), rest=truth.latencies.rest))
    search.costs.timed_steps([truth.speedups[truth.row[setting]] for setting in chosen])
    search.prompts += len(timed) * BATCH
    return timed


def old_order(
    truth: TruthTable, seed: int, trials: int, aim: Aim, whole: bool = False
) -> TableSearch:
    """The old script's walk (`tuner.search.sweep.walk`)."""
    search = TableSearch(truth, seed)
    points, inverted = loops(truth.offered), inverted_knobs()
    best: tuple[float, dict[str, Value]] | None = None
    done: set[int] = set()
    for number in range(points.count):
        if search.trials >= trials or (search.arrived and not whole):
            break
        point = points[number]
        if best is not None and not is_more_aggressive(point, best[1], inverted):
            continue
        indices = (values.index(point[name]) for name, values in truth.offered.items())
        row = truth.by_index[tuple(indices)]
        if row in done:
            search.trials += 1
            search.prompts += PROMPTS
            continue
        done.add(row)
        measured = search.evaluate(row)
        speedup, loss = measured.speedup.value, measured.score_loss.value
        if loss < LIMIT and (best is None or speedup > best[0]):
            best = (speedup, point)
    return search


def known(truth: TruthTable) -> list[Setting]:
    """The papers' settings, or the nearest ones of this product."""
    from tuner import registry

    components = registry.components("accelerators")
    settings: list[Setting] = []
    for index in range(3):
        point = {}
        for name, knobs in truth.product.values.items():
            good = components[name].known_good
            values = good[min(index, len(good) - 1)]
            for knob, offered in knobs.items():
                nearest = min(offered, key=lambda value: abs(value - values[knob]))
                point[f"{name}.{knob}"] = offered.index(nearest)
        row = truth.by_index[tuple(point[name] for name in truth.distributions)]
        if truth.table.settings[row] not in settings:
            settings.append(truth.table.settings[row])
    return settings


def _tpe(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def _gp(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)


SEARCHES: dict[str, Search] = {
    "frontier": frontier,
    "frontier-target": partial(frontier, target=True),
    "tpe": optuna_search(_tpe),
    "tpe-known": optuna_search(_tpe, known_good=True),
    "tpe-known-single": optuna_search(_tpe, known_good=True, single=True),
    "tpe-known-target": optuna_search(_tpe, known_good=True, target=True),
    "gp-known-target": optuna_search(_gp, known_good=True, target=True),
    "gp-known": optuna_search(_gp, known_good=True),
    "gp-known-single": optuna_search(_gp, known_good=True, single=True),
    "nsga2": optuna_search(
        lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    ),
    "random": optuna_search(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "old order": old_order,
}
