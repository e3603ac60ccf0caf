"""The exhaustive sweep: every point of the product, or one for each distinct computation."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import gcd
from typing import Any

import optuna
from optuna.samplers import BaseSampler, GridSampler
from optuna.trial import FrozenTrial, TrialState

from tuner.search.space import Space
from tuner.search.sweep.sweep import Exhaustive, Points, Reach, Sweep
from tuner.setting import Setting
from tuner.storage.cursor import Place, points_taken

FEW = 2000  # points; with more, Optuna's own sampler slows down and keeps them all in memory
Identity = Callable[[Setting], tuple[Any, ...]]  # equal for settings that compute the same


def grid(space: Space, seed: int, identity: Identity | None = None) -> BaseSampler:
    """A sampler of every point; with `identity`, of one point for each distinct computation."""
    points = Points(space.offered())
    if identity is not None:
        return DistinctGrid(space, points, seed, identity)
    return OptunasGrid(space, seed) if points.count <= FEW else Grid(space, points, seed)


class OptunasGrid(GridSampler, Exhaustive):
    """Optuna's own sampler, which must not stop the study: failed points may wait for a retry."""

    def __init__(self, space: Space, seed: int) -> None:
        offered = {name: list(values) for name, values in space.offered().items()}
        super().__init__(offered, seed=seed)

    def reach(self, study: optuna.Study) -> Reach:
        """The points that a trial was given are done."""
        return Reach(passed=len(points_taken(study)), points=self._n_min_trials)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Optuna would stop the study here; the runner decides that."""


@dataclass(frozen=True, kw_only=True)
class Scattered:
    """Every number below `count` once, each far from the one before.

    So any first part of the order is spread evenly over the whole.
    """

    count: int
    seed: int

    @cached_property
    def _stride(self) -> int:
        """Near the golden section of `count`, and coprime to it."""
        stride = max(1, round(self.count * (5**0.5 - 1) / 2))
        while gcd(stride, self.count) > 1:
            stride += 1
        return stride

    @cached_property
    def _start(self) -> int:
        return random.Random(self.seed).randrange(self.count)

    def __getitem__(self, position: int) -> int:
        """The number at a position."""
        return (self._start + self._stride * position) % self.count


class Grid(Sweep):
    """Every point once, in a scattered order."""

    def __init__(self, space: Space, points: Points, seed: int) -> None:
        super().__init__(space, points)
        self.order = Scattered(count=points.count, seed=seed)

    def find(self, position: int) -> Place | None:
        """Every position has a trial."""
        if position >= self.points.count:
            return None
        return Place(position=position, point=self.order[position])


class DistinctGrid(Grid):
    """The first point of each distinct computation, in the same order.

    Whether a computation had a trial is looked up in the database by a digest, and not held in
    memory.
    """

    def __init__(self, space: Space, points: Points, seed: int, identity: Identity) -> None:
        super().__init__(space, points, seed)
        self._space, self._identity = space, identity
        self._next: tuple[int, Place | None] | None = None  # by the position asked for

    def share(self) -> float | None:
        """The product of each accelerator's share of distinct settings; nearly the true share."""
        share = 1.0
        for kind, knobs in self._space.parts:
            names = [knob.name for knob, _ in knobs]
            alone = [
                kind.from_values(dict(zip(names, values, strict=True)))
                for values in product(*(values for _, values in knobs))
            ]
            distinct = {self._identity(Setting(accelerators=(part,))) for part in alone}
            share *= len(distinct) / len(alone)
        return share

    def begin(self, study: optuna.Study) -> None:
        """Create the database index by which digests are looked up."""
        self.cursor(study).index_computations()

    def find(self, position: int) -> Place | None:
        """Skip the points that compute the same as one that a trial was given."""
        if self._next is None or self._next[0] != position:
            self._next = (position, self._first_new(position))
        return self._next[1]

    def _first_new(self, position: int) -> Place | None:
        assert self._cursor is not None, "call `cursor` before `find`"
        for place in range(position, self.points.count):
            point = self.order[place]
            setting = self._space.setting(self.points[point])
            digest = hashlib.sha256(repr(self._identity(setting)).encode()).hexdigest()[:32]
            if not self._cursor.is_computed(digest):
                return Place(position=place, point=point, computation=digest)
        return None
