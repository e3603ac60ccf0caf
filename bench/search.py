"""Searches replayed on the truth tables: how soon each sampler finds the best feasible setting.

    python -m bench.search [--tables deepcache,tgate] [--samplers frontier,tpe] [--seeds 20]

A replayed trial draws its scores from the table: each seed has 32 of the table's prompts for its
search, a measured speedup scatters by one per cent around the table's, and nothing is generated.
The cost of a search is the prompts that it evaluates, with the timed steps at its start counted in
images. It has arrived when it has evaluated to the end a setting that is truly feasible, its 95 %
interval over all stored prompts under the limit, and at least 0.99 as fast as the fastest such
one; a search that has not arrived counts as its full budget. Every sampler draws from exactly the
table's product, each knob as an index. Ours stops trials early (`tuner.search.racing`).
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from bench._miniature import MODEL, conditions, pipeline, quiet
from bench.latency import Sums
from bench.truth import PRODUCTS, Product, Table, read
from tuner.accelerators._features import reuse, step_rows
from tuner.accelerators._plan import Shape, plan_of, shape_of
from tuner.measure import statistics
from tuner.search.frontier import Aim, FrontierSampler, Knowledge, Observation
from tuner.search.gains import Point, staircase
from tuner.search.latency import TimedSteps, to_time
from tuner.search.racing import whole
from tuner.search.samplers import TO_TIME
from tuner.setting import Setting, canonical

LIMIT = 0.02
PROMPTS = 32
BLOCK = 4  # prompts between two looks
SCATTER = 0.01  # of a measured speedup


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A finished table with its latencies: what the replays draw from."""

    product: Product
    table: Table
    sums: Sums
    shape: Shape

    @cached_property
    def row(self) -> dict[Setting, int]:
        """Where a canonical setting is found."""
        return {one: row for row, one in enumerate(self.table.settings)}

    @cached_property
    def speedups(self) -> np.ndarray:
        """By row."""
        return np.array([self.sums.speedup(one) for one in self.table.settings])

    @cached_property
    def feasible(self) -> np.ndarray:
        """By row: whether the upper end of the loss is under the limit."""
        count = self.table.prompts
        before = self.table.baseline[:count].tolist()
        return np.array(
            [
                statistics.score_loss(before, scores[:count].tolist()).high < LIMIT
                for scores in self.table.scores
            ]
        )

    @cached_property
    def best(self) -> float:
        """The fastest feasible speedup."""
        return float(self.speedups[self.feasible].max(initial=1.0))

    @cached_property
    def area(self) -> float:
        """The area of the true front, over no speedup and under the limit."""
        rows = np.flatnonzero(self.feasible)
        return area([(self.speedups[row], self.table.losses[row]) for row in rows])

    @cached_property
    def distributions(self) -> dict[str, IntDistribution]:
        """Each knob as an index into its values."""
        return {
            f"{name}.{knob}": IntDistribution(0, len(values) - 1)
            for name, knobs in self.product.values.items()
            for knob, values in knobs.items()
        }

    @cached_property
    def by_index(self) -> dict[tuple[int, ...], int]:
        """The row of every point of the product, in the order of `distributions`."""
        ranges = [range(one.high + 1) for one in self.distributions.values()]
        return {point: self.row[self._setting(point)] for point in product(*ranges)}

    @cached_property
    def index(self) -> dict[Setting, dict[str, int]]:
        """The indices of a row's setting."""
        found: dict[Setting, dict[str, int]] = {}
        for point, row in self.by_index.items():
            indices = dict(zip(self.distributions, point, strict=True))
            found.setdefault(self.table.settings[row], indices)
        return found

    @cached_property
    def knowledge(self) -> Knowledge:
        """What our sampler knows of the product."""

        def plan(setting: Setting) -> Any:
            return plan_of(setting.accelerators, self.shape, self.product.steps)

        return Knowledge(
            candidates=self.table.settings,
            distributions=dict(self.distributions),
            flat=lambda setting: dict(self.index[setting]),
            work=lambda setting: step_rows(plan(setting)),
            reuse=lambda setting: reuse(plan(setting)),
        )

    def _setting(self, point: tuple[int, ...]) -> Setting:
        chosen = iter(point)
        params = {
            name: {knob: values[next(chosen)] for knob, values in knobs.items()}
            for name, knobs in self.product.values.items()
        }
        return canonical(Setting.of(params), self.shape, self.product.steps)


@dataclass
class Replay:
    """One search on a table, trial by trial."""

    truth: Truth
    seed: int
    races: bool
    prompts: int = 0
    trials: int = 0
    arrived: tuple[int, int] | None = None  # trials and prompts
    seen: dict[int, tuple[float, float]] = field(default_factory=dict)  # row: speedup, loss
    stopped: dict[int, int] = field(default_factory=dict)  # row: prompts
    area_50: float = 0.0

    def __post_init__(self) -> None:
        """Draw the prompts of this search."""
        self.random = np.random.default_rng(self.seed)
        self.chosen = self.random.choice(self.truth.table.prompts, PROMPTS, replace=False)

    def run(self, row: int) -> dict[str, Any]:
        """Evaluate a row: what the trial keeps; `stopped` where it ended early."""
        self.trials += 1
        order = self.random.permutation(self.chosen)
        before, after = self.truth.table.baseline[order], self.truth.table.scores[row][order]
        speedup = float(self.truth.speedups[row] * np.exp(self.random.normal(0, SCATTER)))
        for count in range(BLOCK if self.races else PROMPTS, PROMPTS + 1, BLOCK):
            found = statistics.score_loss(before[:count].tolist(), after[:count].tolist())
            if whole(found, count, PROMPTS).low > LIMIT:
                break
        self.prompts += count
        stopped = count < PROMPTS
        if stopped:
            self.stopped[row] = count
        else:
            self.seen[row] = (float(self.truth.speedups[row]), found.value)
            good = self.truth.feasible[row] and self.truth.speedups[row] >= 0.99 * self.truth.best
            if good and self.arrived is None:
                self.arrived = (self.trials, self.prompts)
        if self.trials == 50:
            self.area_50 = self.true_area()
        return {
            "setting": self.truth.table.settings[row].params,
            "score_loss": found.value,
            "score_loss_ci": [found.low, found.high],
            "speedup": speedup,
            "stopped": stopped,
        }

    def true_area(self) -> float:
        """The area of what was found and is truly feasible, as a share of the true front's."""
        rows = [row for row in self.seen if self.truth.feasible[row]]
        found = area([(self.truth.speedups[row], self.truth.table.losses[row]) for row in rows])
        return found / self.truth.area


def area(points: Sequence[Point]) -> float:
    """The area between a front, no speedup and the limit."""
    stairs = [(max(speedup, 1.0), loss) for speedup, loss in staircase(points) if loss < LIMIT]
    return sum(
        (speedup - left) * (LIMIT - loss)
        for (speedup, loss), (left, _) in pairwise([*stairs, (1.0, LIMIT)])
    )


Search = Callable[[Truth, int, int, Aim], Replay]


def optuna_search(
    make: Callable[[int], BaseSampler], *, known_good: bool = False, single: bool = False
) -> Search:
    """A search by one of Optuna's samplers."""

    def search(truth: Truth, seed: int, trials: int, aim: Aim) -> Replay:
        replay = Replay(truth, seed, races=False)
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
            if aim == "max" and replay.arrived:
                study.stop()
            return kept["speedup"] if single else (kept["speedup"], kept["score_loss"])

        study.optimize(objective, n_trials=trials)
        return replay

    return search


def frontier(
    truth: Truth, seed: int, trials: int, aim: Aim, related: Sequence[Observation] = ()
) -> Replay:
    """A search by our own sampler."""
    replay = Replay(truth, seed, races=True)
    timed = probes(truth, replay)
    sampler = FrontierSampler(
        truth.knowledge, limit=LIMIT, aim=aim, seed=seed, timed=timed, related=related
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    if not related:
        for setting in known(truth):
            study.enqueue_trial(truth.index[setting])

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        kept = replay.run(row_of(truth, trial))
        for name, value in kept.items():
            trial.set_user_attr(name, value)
        if (aim == "max" and replay.arrived) or len(replay.seen) + len(replay.stopped) == len(
            truth.table.settings
        ):
            study.stop()
        if kept["stopped"]:
            raise optuna.TrialPruned
        return kept["speedup"], kept["score_loss"]

    study.optimize(objective, n_trials=trials)
    return replay


def probes(truth: Truth, replay: Replay) -> list[TimedSteps]:
    """The steps that are timed at the start, each after a warm-up; they cost prompts."""
    found = []
    for setting in to_time(truth.table.settings, truth.knowledge.work, TO_TIME):
        seconds = np.array(truth.sums.steps(setting)) / truth.sums.baseline
        steps = seconds * np.exp(replay.random.normal(0, 3 * SCATTER, len(seconds)))
        rest = truth.sums.rest / truth.sums.baseline
        found.append(TimedSteps(setting=setting, steps=tuple(steps), rest=rest))
        replay.prompts += 2 * BLOCK  # one batch, twice
    return found


def old_order(truth: Truth, seed: int, trials: int, aim: Aim) -> Replay:
    """The old script's walk: nested loops, past what is nowhere bolder than the best so far."""
    replay = Replay(truth, seed, races=False)
    names = [
        f"{a}.{k}" for a in ("deepcache", "tgate", "tome") for k in truth.product.values.get(a, {})
    ]
    place = list(truth.distributions)
    ranges = [range(truth.distributions[name].high + 1) for name in names]
    best: tuple[float, tuple[float, ...]] | None = None
    done: set[int] = set()
    for chosen in product(*ranges):
        point = dict(zip(names, chosen, strict=True))
        row = truth.by_index[tuple(point[name] for name in place)]
        bold = boldness(truth, point)
        if best is not None and all(a <= b for a, b in zip(bold, best[1], strict=True)):
            continue
        if row in done:
            replay.trials += 1
            replay.prompts += PROMPTS
            continue
        done.add(row)
        kept = replay.run(row)
        if kept["score_loss"] < LIMIT and (best is None or kept["speedup"] > best[0]):
            best = (kept["speedup"], bold)
        if replay.trials >= trials or replay.arrived:
            break
    return replay


def boldness(truth: Truth, point: dict[str, int]) -> tuple[float, ...]:
    """A point's knobs, so that more is faster."""
    gentler_up = {"gate_step", "warmup", "cache_branch_id"}
    return tuple(
        -index if name.split(".")[1] in gentler_up else index for name, index in point.items()
    )


def known(truth: Truth) -> list[Setting]:
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


def row_of(truth: Truth, trial: optuna.Trial) -> int:
    """Ask a trial for every knob's index."""
    point = tuple(trial.suggest_int(name, 0, one.high) for name, one in truth.distributions.items())
    return truth.by_index[point]


def _gp(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)


SEARCHES: dict[str, Search] = {
    "frontier": frontier,
    "tpe": optuna_search(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "tpe-known": optuna_search(lambda seed: optuna.samplers.TPESampler(seed=seed), known_good=True),
    "gp": optuna_search(_gp, known_good=True),
    "nsga2": optuna_search(
        lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    ),
    "random": optuna_search(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "old order": old_order,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", help="their files' names without the ending; default: all")
    parser.add_argument("--samplers", default=",".join(SEARCHES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--aim", default="max", choices=("max", "front"))
    args = parser.parse_args()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{conditions()}; limit {LIMIT:.0%}, {args.seeds} seeds, at most {args.trials} trials\n")
    for wanted in PRODUCTS:
        asked = args.tables is None or wanted.file.stem in args.tables.split(",")
        if not asked or not wanted.file.exists():
            continue
        shape = shape_of(pipeline(wanted.scheduler), MODEL.resolution)
        table = read(wanted.file)
        truth = Truth(product=wanted, table=table, sums=Sums(shape, wanted.steps), shape=shape)
        print(
            f"## {wanted.file.stem}: {len(table.settings)} settings, {table.prompts} prompts, "
            f"{truth.feasible.sum()} feasible, the fastest {truth.best:.2f}×\n"
        )
        print(HEAD[args.aim], flush=True)
        for name in args.samplers.split(","):
            begin = time.monotonic()
            replays = [
                SEARCHES[name](truth, seed, args.trials, args.aim) for seed in range(args.seeds)
            ]
            seconds = (time.monotonic() - begin) / sum(replay.trials for replay in replays)
            print(row(name, replays, args, seconds), flush=True)
        print(flush=True)


HEAD = {
    "max": "| sampler | arrived | trials: median, 90 % | prompts: median, 90 % | s a trial |\n"
    "|---|---|---|---|---|",
    "front": "| sampler | area after 50 trials: mean, least | prompts after 50 | s a trial |\n"
    "|---|---|---|---|",
}


def row(name: str, replays: list[Replay], args: argparse.Namespace, seconds: float) -> str:
    """A sampler's line of the table."""
    if args.aim == "front":
        areas = [replay.area_50 for replay in replays]
        prompts = np.median([replay.prompts for replay in replays])
        return (
            f"| {name} | {np.mean(areas):.3f}, {min(areas):.3f} | {prompts:.0f} | {seconds:.2f} |"
        )
    full = (args.trials, args.trials * PROMPTS)
    found = np.array([replay.arrived or full for replay in replays])
    middle, most = np.median(found, axis=0), np.quantile(found, 0.9, axis=0)
    arrived = sum(replay.arrived is not None for replay in replays)
    return (
        f"| {name} | {arrived}/{len(replays)} | {middle[0]:.0f}, {most[0]:.0f} "
        f"| {middle[1]:.0f}, {most[1]:.0f} | {seconds:.2f} |"
    )


if __name__ == "__main__":
    main()
