"""What sweeps share: points of a product, how many of them are done, and taking the next one."""

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
from tuner.setting import Setting
from tuner.storage.cursor import Cursor, Place
from tuner.storage.optuna_names import POINT


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many of a sweep's points are done."""

    passed: int  # points that a trial was given, or that were skipped
    points: int

    @property
    def left(self) -> int:
        """Points that are left; the sweep may skip some of them."""
        return self.points - self.passed


class Ending(ABC):
    """A sampler that proposes nothing twice, and so comes to an end.

    What failed is queued again by the runner.
    """

    @abstractmethod
    def has_ended(self, study: optuna.Study) -> bool:
        """Whether there is nothing left to propose."""

    def why_ended(self) -> str:
        """Why there is nothing left to propose, once `has_ended` has found so."""
        return "every setting was tried"

    def second_look(self, study: optuna.Study) -> tuple[Setting, int] | None:
        """A measured setting that is to be measured with more prompts, and its trial's number."""
        return None


class Exhaustive(Ending):
    """A sampler that goes through a product and gives each point to one trial."""

    @abstractmethod
    def reach(self, study: optuna.Study) -> Reach:
        """How many points of the study are done."""

    def has_ended(self, study: optuna.Study) -> bool:
        """Whether no point is left."""
        return self.reach(study).left == 0

    def share(self) -> float | None:
        """About what share of its points gets a trial; None where that depends on the results."""
        return 1.0

    def begin(self, study: optuna.Study) -> None:
        """Called before trials are run; may read the study's results so far."""


@dataclass(frozen=True)
class Points:
    """The points of a product, numbered as nested loops visit them, the outermost loop first."""

    offered: dict[str, tuple[Value, ...]]

    @cached_property
    def count(self) -> int:
        """How many points there are."""
        return prod(len(values) for values in self.offered.values())

    def __getitem__(self, number: int) -> dict[str, Value]:
        """The values of a point."""
        point: dict[str, Value] = {}
        for name, values in reversed(self.offered.items()):
            number, place = divmod(number, len(values))
            point[name] = values[place]
        return point


class Sweep(BaseSampler, Exhaustive):
    """Gives each trial the next point of an order, at a cost that does not grow with the trials.

    How far the study is stands in the database (`tuner.storage.cursor`).
    """

    def __init__(self, space: Space, points: Points) -> None:
        """`points`: those of the space, with the loops in any order."""
        self.points = points
        self._distributions: dict[str, BaseDistribution] = dict(space.distributions())
        self._cursor: Cursor | None = None

    def find(self, position: int) -> Place | None:
        """The first point to run at or after a position of the order; None after the last."""
        raise NotImplementedError

    def cursor(self, study: optuna.Study) -> Cursor:
        """The study's position in the order."""
        if self._cursor is None:
            self._cursor = Cursor(study)
        return self._cursor

    def reach(self, study: optuna.Study) -> Reach:
        """All points before the next one to run are done."""
        place = self.find(self.cursor(study).position)
        passed = self.points.count if place is None else place.position
        return Reach(passed=passed, points=self.points.count)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Take the next point, unless the trial is a retry and has one."""
        if POINT in trial.system_attrs:
            return
        point = self.cursor(study).take(trial, self.find)
        if point is not None:
            trial.system_attrs = trial.system_attrs | {POINT: point}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All numbers of the space: a point sets them together."""
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
        """Never called: every number of the space is part of the point."""
        raise KeyError(param_name)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """A sweep does not depend on the results."""
