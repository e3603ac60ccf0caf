"""A search on a truth table by the tuner's own runner: nothing is generated.

The study lies in memory, and a measurement takes its scores from the table and its speedup from the
table's latencies, scattered by one per cent. Each search draws its own prompts of the table: 64 on
offer to its trials, and others for verification. A trial of ours has 32 of the 64, and inconclusive
settings of the front are resolved with the rest when the search has ended; with the aim `front` all
trials have the same 32 and are resolved at once. A trial of another sampler has the same 32 always.
A setting is truly feasible when the upper end of its loss's 95 % interval over all stored prompts
is under the limit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from bench.lib.miniature import MODEL, pipeline
from bench.lib.step_latencies import Sums
from bench.lib.tables import Product, Table, read
from tuner.accelerators import Value
from tuner.canonical import computation_of
from tuner.limits import Limits
from tuner.measure import statistics
from tuner.measure.measurement import Measurement
from tuner.measure.statistics import Estimate
from tuner.plans.features import reuse, step_rows
from tuner.plans.plan import Shape, plan_of, shape_of
from tuner.search.deadline import Deadline
from tuner.search.frontier.acquisition import Point, staircase
from tuner.search.frontier.context import Observation, SearchContext, observation
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.search.runner.run import Search
from tuner.search.runner.stopping import StoppingRule, measure_until_stopped
from tuner.search.runner.verify import verify
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.storage.log import log_of
from tuner.study.results import Result, read_results
from tuner.study.verifications import read_verifications

LIMIT = 0.02
LIMITS = Limits(score_loss=LIMIT)
PROMPTS = 32  # of every trial
MORE = 32  # further ones on offer; as many others, and as many again, for verification
BATCH = 4  # prompts
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
    def context(self) -> SearchContext:
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
class TableSpace(Space):
    """The space of a table: each knob as an index into its values."""

    truth: TruthTable

    @classmethod
    def of_table(cls, truth: TruthTable) -> "TableSpace":
        """The space of this table."""
        return cls(parts=(), truth=truth)

    def suggest(self, trial: Any) -> Setting:
        """Ask a trial for every index."""
        return self.truth.table.settings[row_of(self.truth, trial)]

    def flat(self, setting: Setting) -> dict[str, Value]:
        """The indices of a setting."""
        return dict(self.truth.index[setting])

    def offered(self) -> dict[str, tuple[Value, ...]]:
        """Every index of each knob."""
        return {name: tuple(range(len(v))) for name, v in self.truth.offered.items()}

    def holds(self, setting: Setting) -> bool:
        """Whether the table has the setting."""
        return setting in self.truth.row


def row_of(truth: TruthTable, trial: Any) -> int:
    """Ask a trial for every knob's index; the row of the point."""
    point = tuple(trial.suggest_int(name, 0, one.high) for name, one in truth.distributions.items())
    return truth.by_index[point]


@dataclass
class TableSearch:
    """One search on a table, with the prompts that it costs.

    It has arrived when a trial of a truly feasible setting that is at least 0.99 as fast as the
    fastest such one has ended without being stopped.
    """

    truth: TruthTable
    seed: int
    aim: Aim = "max"
    prompts: int = 0
    trials: int = 0
    arrived: tuple[int, int] | None = None  # trials and prompts
    evaluated: list[int] = field(default_factory=list)  # rows whose trials were not stopped
    study: optuna.Study | None = None  # of our own sampler

    def __post_init__(self) -> None:
        """Draw the prompts of this search."""
        self.random = np.random.default_rng(self.seed)
        order = self.random.permutation(self.truth.table.prompts)
        self._offered, self._others = order[: PROMPTS + MORE], order[PROMPTS + MORE :]

    def run(
        self,
        study: optuna.Study,
        trials: int,
        *,
        first: Sequence[Setting],
        whole: bool,
        resolves: bool = False,
    ) -> None:
        """Run a study of our own sampler by the tuner's runner.

        It ends when it has arrived, unless the `whole` search is asked for.
        """
        self.study = study
        Search(
            study=study,
            space=TableSpace.of_table(self.truth),
            goal=Goal(limits=LIMITS),
            measure=self.measure,
            canonical=lambda setting: setting,
            trials=trials,
            samples=PROMPTS,
            max_samples=PROMPTS + MORE if resolves else None,
            stops_early=True,
            resolves_at_once=self.aim == "front",
            first=first,
            deadline=_Arrival(self, whole),
            observer=_Arrived(self),
        ).run()

    def evaluate(self, row: int) -> Measurement:
        """A trial of another sampler: the 32 prompts at once, whatever they show."""
        numbers = self.random.permutation(self._offered[:PROMPTS])
        (measured,) = self._measured(row, numbers, PROMPTS)
        self.ended(row)
        return measured

    def raced(self, row: int) -> bool:
        """A trial that may be stopped early, without rivals; whether it was."""
        setting = self.truth.table.settings[row]
        rule = StoppingRule(limits=LIMITS, samples=PROMPTS, races=True, setting=setting)
        _, answer = measure_until_stopped(self.measure(setting, 0), rule)
        return answer.stops

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        """What is known of a setting after each batch of its prompts."""
        row = self.truth.row[setting]
        yield from self._measured(row, self._drawn(row) if self.aim == "max" else self._same())

    def ended(self, row: int) -> None:
        """Note that a trial was not stopped, and whether the search has arrived."""
        self.trials += 1
        self.evaluated.append(row)
        good = self.truth.feasible[row] and self.truth.speedups[row] >= 0.99 * self.truth.best
        if good and self.arrived is None:
            self.arrived = (self.trials, self.prompts)

    def _drawn(self, row: int) -> np.ndarray:
        """The prompts of a row in their order, by batches as `Evaluation.measure` draws them."""
        rng = np.random.default_rng([self.seed, row])
        batches, count = self._offered.reshape(-1, BATCH), PROMPTS // BATCH
        others = rng.permutation(batches[1:])
        own = rng.permutation(np.vstack([batches[:1], others[: count - 1]]))
        drawn: np.ndarray = np.vstack([own, others[count - 1 :]]).ravel()
        return drawn

    def _same(self) -> np.ndarray:
        """The same prompts for every row, in an order of its own, and then the others."""
        first, more = self._offered[:PROMPTS], self._offered[PROMPTS:]
        return np.concatenate([self.random.permutation(first), more])

    def _measured(self, row: int, numbers: np.ndarray, batch: int = BATCH) -> Iterator[Measurement]:
        """What is known after each batch of these prompts; each costs its prompts."""
        before, after = self.truth.table.baseline[numbers], self.truth.table.scores[row][numbers]
        speedup = float(self.truth.speedups[row] * np.exp(self.random.normal(0, SCATTER)))
        low, high = (speedup * np.exp(end * SCATTER) for end in (-1.96, 1.96))
        for count in range(batch, len(numbers) + 1, batch):
            self.prompts += batch
            yield Measurement(
                prompts=count,
                score_loss=statistics.score_loss(before[:count].tolist(), after[:count].tolist()),
                speedup=Estimate(value=speedup, low=low, high=high),
                score=0.0,
                baseline_s=1.0,
                scores=[],
                numbers=list(range(count)),
                ratios=[],
                same_pictures=False,
            )

    @property
    def results(self) -> list[Result]:
        """The results of a search by our own sampler."""
        assert self.study is not None, "searched by another sampler"
        return read_results(self.study)

    def verified(self) -> Result | None:
        """The fastest result that holds on other prompts."""
        assert self.study is not None, "searched by another sampler"
        return verify(
            self.study,
            Goal(limits=LIMITS),
            lambda result: self._measured(self.truth.row[result.setting], self._others),
            lambda result: None,
            PROMPTS,
        )

    def observations(self) -> list[Observation]:
        """What a warm start takes over: of each setting its last measurement."""
        assert self.study is not None, "searched by another sampler"
        again = read_verifications(self.study)
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        last: dict[Setting, Observation] = {}
        for _, number, stored in log_of(self.study).attributes(*ended):
            seen = observation({**stored, **again.get(number, {})})
            last[seen.setting] = seen
        return list(last.values())

    def true_area(self) -> float:
        """The area of what was evaluated and is truly feasible, as a share of the true front's."""
        points = [
            (self.truth.speedups[row], self.truth.table.losses[row])
            for row in self.evaluated
            if self.truth.feasible[row]
        ]
        return area(points) / self.truth.area


class _Arrived(Observer):
    """Counts the trials of a search."""

    def __init__(self, search: TableSearch) -> None:
        self._search = search

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """Count a trial, and note one that was not stopped."""
        if result is None:
            self._search.trials += 1
        else:
            self._search.ended(self._search.truth.row[result.setting])


@dataclass(frozen=True)
class _Arrival(Deadline):
    """Ends a search that has arrived, unless the whole of it is wanted."""

    at: float | None = field(default=None, init=False)
    search: TableSearch
    whole: bool

    @property
    def passed(self) -> bool:
        """Whether no further trial is to be begun."""
        return self.search.arrived is not None and not self.whole


def area(points: Sequence[Point]) -> float:
    """The area between a front, no speedup and the limit."""
    stairs = [(max(speedup, 1.0), loss) for speedup, loss in staircase(points) if loss < LIMIT]
    return sum(
        (speedup - left) * (LIMIT - loss)
        for (speedup, loss), (left, _) in pairwise([*stairs, (1.0, LIMIT)])
    )
