"""A finished truth table with latencies: true figures of each setting, and the search space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np
from optuna.distributions import IntDistribution

from bench.lib.step_latencies import LatencySums
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
SHARE = 0.99  # of the fastest truly feasible speedup: what is looked for


@dataclass(frozen=True, kw_only=True)
class TruthTable:
    """A finished table with its latencies, from which simulated searches draw measurements.

    With `unsure_counts` they look for a setting whose loss over all prompts is under the limit, at
    which a real search may end; else for one whose whole interval of the loss is.
    """

    product: Product
    table: Table
    latencies: LatencySums
    shape: Shape
    unsure_counts: bool = False

    @classmethod
    def of(cls, wanted: Product, *, unsure_counts: bool = False) -> "TruthTable":
        """The table of a product; loads the miniature, for its shape."""
        from bench.lib.miniature import MODEL, pipeline

        shape = shape_of(pipeline(wanted.scheduler), MODEL.resolution)
        return cls(
            product=wanted,
            table=read(wanted.file),
            latencies=LatencySums(shape, wanted.steps),
            shape=shape,
            unsure_counts=unsure_counts,
        )

    @cached_property
    def row(self) -> dict[Setting, int]:
        """The row of each setting of the table."""
        return {setting: row for row, setting in enumerate(self.table.settings)}

    @cached_property
    def speedups(self) -> np.ndarray:
        """The speedup of each row."""
        return np.array([self.latencies.speedup(setting) for setting in self.table.settings])

    @cached_property
    def feasible(self) -> np.ndarray:
        """Whether each row is truly feasible: the upper end of its loss is under the limit."""
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
        """The greatest speedup of a feasible row."""
        return float(self.speedups[self.feasible].max())

    @cached_property
    def is_looked_for(self) -> np.ndarray:
        """Whether a search arrives at each row: as fast as is asked, and within the limit."""
        kept = self.table.losses < LIMIT if self.unsure_counts else self.feasible
        looked_for: np.ndarray = kept & (self.speedups >= SHARE * self.best)
        return looked_for

    @cached_property
    def area(self) -> float:
        """The area of the true front, from a speedup of 1 up and under the limit of the loss."""
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
        ranges = [range(index.high + 1) for index in self.distributions.values()]
        rows = {self._identity(setting): row for row, setting in enumerate(self.table.settings)}
        return {point: rows[self._identity(self._setting(point))] for point in product(*ranges)}

    @cached_property
    def index(self) -> dict[Setting, dict[str, int]]:
        """The indices of each row's setting."""
        by_setting: dict[Setting, dict[str, int]] = {}
        for point, row in self.by_index.items():
            indices = dict(zip(self.distributions, point, strict=True))
            by_setting.setdefault(self.table.settings[row], indices)
        return by_setting

    @cached_property
    def context(self) -> SearchContext:
        """What the sampler `frontier` knows of the product."""

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
    """Ask a trial for every knob's index; returns the row of the point."""
    point = tuple(
        trial.suggest_int(name, 0, index.high) for name, index in truth.distributions.items()
    )
    return truth.by_index[point]


def area(points: Sequence[Point]) -> float:
    """The area between a front, a speedup of 1 and the limit of the loss."""
    stairs = [(max(speedup, 1.0), loss) for speedup, loss in staircase(points) if loss < LIMIT]
    return sum(
        (speedup - left) * (LIMIT - loss)
        for (speedup, loss), (left, _) in pairwise([*stairs, (1.0, LIMIT)])
    )
