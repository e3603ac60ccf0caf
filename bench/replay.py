"""A search on a truth table, trial by trial: nothing is generated; the verdicts are the tuner's.

Each replay draws its own prompts of the table: those on offer to its trials, and others for
measuring the winners again. A trial of ours draws 32 of the 64 on offer, and resolves an open
verdict of the front with the rest when the search has ended; for the aim `front` all have the same
32 and settle their verdicts at once. One of another sampler has the same 32 always. A measured
speedup scatters by one per cent about the table's. A setting is truly feasible when the upper end
of its loss's 95 % interval over all stored prompts is under the limit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np
from optuna.distributions import IntDistribution

from bench._miniature import MODEL, pipeline
from bench.latency import Sums
from bench.tables import Product, Table, read
from tuner.accelerators import Value
from tuner.canonical import computation_of
from tuner.limits import Limits
from tuner.measure import statistics
from tuner.measure.statistics import Estimate
from tuner.plans.features import reuse, step_rows
from tuner.plans.plan import Shape, plan_of, shape_of
from tuner.search.frontier.acquisition import Point, staircase
from tuner.search.frontier.context import Observation, SearchContext, observation
from tuner.search.goal import Goal
from tuner.search.runner.resolve import unresolved
from tuner.search.runner.stopping import StoppingRule, spend
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.study.record import Result, Verification

LIMIT = 0.02
LIMITS = Limits(score_loss=LIMIT)
PROMPTS = 32  # of every trial
MORE = 32  # on offer besides; as many others, and as many more, for a second look
BLOCK = 4  # prompts between two looks
SCATTER = 0.01  # of a measured speedup


@dataclass(frozen=True, kw_only=True)
class TruthTable:
    """A finished table with its latencies: what the replays draw from."""

    product: Product
    table: Table
    sums: Sums
    shape: Shape

    @classmethod
    def of(cls, wanted: Product) -> "TruthTable":
        """The table of a product."""
        shape = shape_of(pipeline(wanted.scheduler), MODEL.resolution)
        return cls(
            product=wanted, table=read(wanted.file), sums=Sums(shape, wanted.steps), shape=shape
        )

    @cached_property
    def row(self) -> dict[Setting, int]:
        """Where a setting of the table is found."""
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
        return float(self.speedups[self.feasible].max())

    @cached_property
    def area(self) -> float:
        """The area of the true front, over no speedup and under the limit."""
        rows = np.flatnonzero(self.feasible)
        return area([(self.speedups[row], self.table.losses[row]) for row in rows])

    @cached_property
    def offered(self) -> dict[str, tuple[Value, ...]]:
        """Each knob's values."""
        return {
            f"{name}.{knob}": values
            for name, knobs in self.product.values.items()
            for knob, values in knobs.items()
        }

    @cached_property
    def distributions(self) -> dict[str, IntDistribution]:
        """Each knob as an index into its values."""
        return {name: IntDistribution(0, len(values) - 1) for name, values in self.offered.items()}

    @cached_property
    def by_index(self) -> dict[tuple[int, ...], int]:
        """The row of every point of the product, in the order of `distributions`."""
        ranges = [range(one.high + 1) for one in self.distributions.values()]
        rows = {self._identity(one): row for row, one in enumerate(self.table.settings)}
        return {point: rows[self._identity(self._setting(point))] for point in product(*ranges)}

    @cached_property
    def index(self) -> dict[Setting, dict[str, int]]:
        """The indices of a row's setting."""
        found: dict[Setting, dict[str, int]] = {}
        for point, row in self.by_index.items():
            indices = dict(zip(self.distributions, point, strict=True))
            found.setdefault(self.table.settings[row], indices)
        return found

    @cached_property
    def knowledge(self) -> SearchContext:
        """What our sampler knows of the product."""

        def plan(setting: Setting) -> Any:
            return plan_of(setting.accelerators, self.shape, self.product.steps)

        return SearchContext(
            candidates=self.table.settings,
            distributions=dict(self.distributions),
            flat=lambda setting: dict(self.index[setting]),
            work=cache(lambda setting: step_rows(plan(setting))),
            reuse=cache(lambda setting: reuse(plan(setting))),
        )

    def _setting(self, point: tuple[int, ...]) -> Setting:
        chosen = iter(point)
        params = {
            name: {knob: values[next(chosen)] for knob, values in knobs.items()}
            for name, knobs in self.product.values.items()
        }
        return Setting.of(params)

    def _identity(self, setting: Setting) -> tuple[Any, ...]:
        return computation_of(setting, self.shape, self.product.steps)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a trial knows after a block of prompts, as a `StoppingRule` asks for it."""

    prompts: int
    score_loss: Estimate
    speedup: Estimate
    fidelity: dict[str, Estimate] = field(default_factory=dict)
    timed: bool = True


@dataclass
class TableSearch:
    """One search on a table; `races` as ours does, taking more prompts where a verdict needs it."""

    truth: TruthTable
    seed: int
    races: bool
    aim: Aim = "max"
    prompts: int = 0
    trials: int = 0
    arrived: tuple[int, int] | None = None  # trials and prompts
    results: list[Result] = field(default_factory=list)  # of the trials that were not stopped
    stopped: dict[int, int] = field(default_factory=dict)  # row: prompts
    observations: list[Observation] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the prompts of this search."""
        self.random = np.random.default_rng(self.seed)
        order = self.random.permutation(self.truth.table.prompts)
        self._offered, self._others = order[: PROMPTS + MORE], order[PROMPTS + MORE :]

    def run(self, row: int, resolves: bool = False) -> dict[str, Any]:
        """Evaluate a row: what the trial keeps; `stopped` where it ended early.

        With `resolves`, again, on as many prompts as its verdict needs.
        """
        self.trials += 1
        setting = self.truth.table.settings[row]
        effort = StoppingRule(
            limits=LIMITS,
            samples=PROMPTS,
            rivals=[one for one in self.results if one.setting != setting],
            races=self.races and not resolves,
            setting=setting,
            tried=self.trials,
            resolves=resolves or (self.races and self.aim == "front"),
        )
        if self.races:
            looks = self.looks(row, self._drawn(row) if self.aim == "max" else self._same())
        else:
            looks = self.looks(row, self.random.permutation(self._offered[:PROMPTS]), PROMPTS)
        found, answer = spend(looks, effort)
        self.prompts += found.prompts
        if answer.stops:
            self.stopped[row] = found.prompts
        else:
            self.results = [one for one in self.results if one.setting != setting]
            self.results.append(
                Result(
                    trial=self.trials - 1,
                    setting=setting,
                    speedup=found.speedup,
                    score_loss=found.score_loss,
                    latency_s=1 / found.speedup.value,
                    score=0.0,
                    prompts=found.prompts,
                    same_pictures=False,
                )
            )
            good = self.truth.feasible[row] and self.truth.speedups[row] >= 0.99 * self.truth.best
            if good and self.arrived is None:
                self.arrived = (self.trials, self.prompts)
        kept = _kept(setting, found) | {"stopped": answer.stops}
        self.observations.append(observation(kept))
        return kept

    def _drawn(self, row: int) -> np.ndarray:
        """The prompts of a row in their order, by blocks as `Evaluation.measure` draws them."""
        rng = np.random.default_rng([self.seed, row])
        blocks, count = self._offered.reshape(-1, BLOCK), PROMPTS // BLOCK
        others = rng.permutation(blocks[1:])
        own = rng.permutation(np.vstack([blocks[:1], others[: count - 1]]))
        found: np.ndarray = np.vstack([own, others[count - 1 :]]).ravel()
        return found

    def _same(self) -> np.ndarray:
        """The same prompts for every row, in an order of its own, and then the others."""
        first, more = self._offered[:PROMPTS], self._offered[PROMPTS:]
        return np.concatenate([self.random.permutation(first), more])

    def settle(self) -> None:
        """Settle the open verdicts of the front, as a search does when it has ended."""
        done: set[Setting] = set()
        while True:
            open_ = unresolved(self.results, LIMITS, PROMPTS + MORE, self.trials)
            one = next((one for one in open_ if one.setting not in done), None)
            if one is None:
                return
            done.add(one.setting)
            self.run(self.truth.row[one.setting], resolves=True)

    def looks(self, row: int, numbers: np.ndarray, block: int = BLOCK) -> Iterator[Look]:
        """What is known after each block of these prompts."""
        before, after = self.truth.table.baseline[numbers], self.truth.table.scores[row][numbers]
        speedup = float(self.truth.speedups[row] * np.exp(self.random.normal(0, SCATTER)))
        interval = [speedup * np.exp(end * SCATTER) for end in (-1.96, 1.96)]
        for count in range(block, len(numbers) + 1, block):
            yield Look(
                prompts=count,
                score_loss=statistics.score_loss(before[:count].tolist(), after[:count].tolist()),
                speedup=Estimate(value=speedup, low=interval[0], high=interval[1]),
            )

    def verified(self) -> Result | None:
        """The fastest result that holds on other prompts, as the runner's `verify` finds it."""
        goal = Goal(limits=LIMITS)
        while True:
            candidate = goal.reached(self.results)
            if candidate is None or candidate.verified is not None:
                return candidate
            looks = self.looks(self.truth.row[candidate.setting], self._others)
            found, _ = spend(looks, StoppingRule(limits=LIMITS, samples=PROMPTS, resolves=True))
            self.prompts += found.prompts
            again = Verification(
                speedup=found.speedup,
                score_loss=found.score_loss,
                latency_s=1 / found.speedup.value,
                score=0.0,
                prompts=found.prompts,
            )
            self.results[self.results.index(candidate)] = replace(candidate, verified=again)
            self.observations.append(observation(_kept(candidate.setting, found)))

    def true_area(self) -> float:
        """The area of what was found and is truly feasible, as a share of the true front's."""
        rows = [self.truth.row[one.setting] for one in self.results]
        points = [
            (self.truth.speedups[row], self.truth.table.losses[row])
            for row in rows
            if self.truth.feasible[row]
        ]
        return area(points) / self.truth.area


def _kept(setting: Setting, found: Look) -> dict[str, Any]:
    """The attributes of a trial, or of a second look."""
    return {
        "setting": setting.params,
        "score_loss": found.score_loss.value,
        "score_loss_ci": [found.score_loss.low, found.score_loss.high],
        "speedup": found.speedup.value,
        "prompts": found.prompts,
    }


def area(points: Sequence[Point]) -> float:
    """The area between a front, no speedup and the limit."""
    stairs = [(max(speedup, 1.0), loss) for speedup, loss in staircase(points) if loss < LIMIT]
    return sum(
        (speedup - left) * (LIMIT - loss)
        for (speedup, loss), (left, _) in pairwise([*stairs, (1.0, LIMIT)])
    )
