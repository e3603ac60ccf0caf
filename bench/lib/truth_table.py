"""A finished truth table with its latencies: what is true of each setting, and its search space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np
from optuna.distributions import IntDistribution

from bench.lib.miniature import MODEL, pipeline
from bench.lib.step_latencies import Sums
from bench.lib.tables import Product, Table, read
from tuner.accelerators import Value
from tuner.canonical import computation_of
from tuner.measure import statistics
from tuner.plans.features import reuse, step_rows
from tuner.plans.plan import Shape, plan_of, shape_of
from tuner.search.frontier.acquisition import Point, staircase
from tuner.search.frontier.context import SearchContext
from tuner.search.space import Space
from tuner.setting import Setting

LIMIT = 0.02  # of the score loss


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
        """The row of each setting of the table."""
        return {setting: row for row, setting in enumerate(self.table.settings)}

    @cached_property
    def speedups(self) -> np.ndarray:
        """By row."""
        return np.array([self.sums.speedup(setting) for setting in self.table.settings])

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
        rows = {self._identity(each): row for row, each in enumerate(self.table.settings)}
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


def area(points: Sequence[Point]) -> float:
    """The area between a front, no speedup and the limit."""
    stairs = [(max(speedup, 1.0), loss) for speedup, loss in staircase(points) if loss < LIMIT]
    return sum(
        (speedup - left) * (LIMIT - loss)
        for (speedup, loss), (left, _) in pairwise([*stairs, (1.0, LIMIT)])
    )
