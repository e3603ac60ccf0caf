"""Going through a product of points: what a sampler that comes to an end has beside Optuna's."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tuner.accelerators import Value
from tuner.errors import TrialError
from tuner.search.space import Space
from tuner.storage.cursor import POINT, Cursor, Place


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far a replay has come."""

    passed: int  # points behind it: given to a trial, or left out
    points: int

    @property
    def left(self) -> int:
        """Points that are not behind it yet; some of them it may leave out."""
        return self.points - self.passed


class Ending(ABC):
    """For a sampler that names nothing twice; what failed comes again by the queue."""

    @abstractmethod
    def has_ended(self, study: optuna.Study) -> bool:
        """Whether there is nothing left to name."""


class Exhaustive(Ending):
    """For a sampler that gives each point to one trial."""

    @abstractmethod
    def reach(self, study: optuna.Study) -> Reach:
        """How far the study is."""

    def has_ended(self, study: optuna.Study) -> bool:
        """Whether no point is left."""
        return self.reach(study).left == 0

    def share(self) -> float | None:
        """About what share of its points it runs; None where nobody knows before."""
        return 1.0

    def begin(self, study: optuna.Study) -> None:
        """Look at what the study has found so far; called before trials are run."""


@dataclass(frozen=True)
class Points:
    """A product as nested loops, the outermost first: point 0 has the first value of each."""

    offered: dict[str, tuple[Value, ...]]

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return prod(len(values) for values in self.offered.values())

    def __getitem__(self, number: int) -> dict[str, Value]:
        """The values of a point."""
        found: dict[str, Value] = {}
        for name, values in reversed(self.offered.items()):
            number, place = divmod(number, len(values))
            found[name] = values[place]
        return found


class Sweep(BaseSampler, Exhaustive):
    """Gives each trial the next point of an order, at a cost that does not grow with the trials."""

    def __init__(self, space: Space, points: Points) -> None:
        """`points` are those of the space, in loops of any order."""
        self.points = points
        self._distributions: dict[str, BaseDistribution] = dict(space.distributions())
        self._cursor: Cursor | None = None

    def find(self, position: int) -> Place | None:
        """The first place to run at or after a position of the order; None after the last."""
        raise NotImplementedError

    def cursor(self, study: optuna.Study) -> Cursor:
        """The study's position."""
        if self._cursor is None:
            self._cursor = Cursor(study)
        return self._cursor

    def reach(self, study: optuna.Study) -> Reach:
        """Passed is what comes before the next point that will be run."""
        place = self.find(self.cursor(study).position)
        passed = self.points.count if place is None else place.position
        return Reach(passed=passed, points=self.points.count)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Take the next point, unless the trial is another try of one."""
        if POINT in trial.system_attrs:
            return
        point = self.cursor(study).take(trial, self.find)
        if point is not None:
            trial.system_attrs = trial.system_attrs | {POINT: point}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every number is named together."""
        return self._distributions

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The values of the trial's point."""
        if POINT not in trial.system_attrs:
            raise TrialError("another worker took the last point")
        return self.points[trial.system_attrs[POINT]]

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A number that the space has not: there is none."""
        raise KeyError(param_name)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Nothing is learned."""
