"""The settings that the frontier sampler chooses from, one row each, with their features."""

from collections.abc import Iterable, Sequence

import numpy as np

from tuner.search.frontier.context import Observation, Scale, SearchContext
from tuner.search.frontier.speed_model import SpeedModel
from tuner.setting import Setting

EXPANDED = 5  # settings whose neighbours are added after a trial


def fastest_good(observations: Sequence[Observation], limit: float) -> list[Setting]:
    """The fastest settings with a score loss under the limit, whose neighbours are worth adding."""
    good = [
        (result.speedup, result.setting)
        for result in observations
        if result.loss < limit and result.speedup is not None
    ]
    return [setting for _, setting in sorted(good, key=lambda result: -result[0])[:EXPANDED]]


class CandidateTable:
    """Rows of settings, in the order in which they were added.

    `points` are the features of the quality model, shape (rows, features), on the `scale` of the
    first candidates; `totals` the work of whole generations, shape (rows, kinds of work and one).
    A row may be outside of the study's space, where its trial is of an earlier request: it trains
    the models and is never proposed.
    """

    def __init__(self, context: SearchContext, speed: SpeedModel) -> None:
        self._context = context
        self._speed = speed
        self.settings = list(context.candidates)
        reused = [context.reuse(setting) for setting in self.settings]
        self.scale = Scale(reused)
        self.points = self.scale(reused)
        self.totals = speed.totals(self.settings)
        self._inside = np.array([context.holds(setting) for setting in self.settings])
        self._row = {setting: row for row, setting in enumerate(self.settings)}
        self._expanded: set[Setting] = set()

    def add(self, settings: Iterable[Setting]) -> None:
        """Add the settings that have no row yet."""
        new = [setting for setting in dict.fromkeys(settings) if setting not in self._row]
        if new:
            self._row |= {setting: row for row, setting in enumerate(new, len(self.settings))}
            self.settings += new
            points = self.scale([self._context.reuse(setting) for setting in new])
            self.points = np.vstack([self.points, points])
            self.totals = np.vstack([self.totals, self._speed.totals(new)])
            inside = [self._context.holds(setting) for setting in new]
            self._inside = np.concatenate([self._inside, inside])

    def expand(self, settings: Iterable[Setting]) -> bool:
        """Where the candidates are a sample, add the neighbours of settings; whether any is new."""
        if self._context.neighbours is None:
            return False
        before = len(self.settings)
        for setting in settings:
            if setting not in self._expanded:
                self._expanded.add(setting)
                self.add(self._context.neighbours(setting))
        return len(self.settings) > before

    def row(self, setting: Setting) -> int:
        """The row of a setting that has one."""
        return self._row[setting]

    def same(self, setting: Setting) -> Setting:
        """The equal setting that has a row, if there is one: the same object is found faster."""
        row = self._row.get(setting)
        return setting if row is None else self.settings[row]

    def rows(self, observations: Sequence[Observation]) -> list[int]:
        """The rows of measured settings."""
        return [self._row[result.setting] for result in observations]

    def points_of(self, settings: Iterable[Setting]) -> np.ndarray:
        """The features of settings, shape (settings, features)."""
        points: np.ndarray = self.points[[self._row[setting] for setting in settings]]
        return points

    def rows_by_combination(self) -> list[np.ndarray]:
        """The rows of the settings of each combination of accelerators."""
        names = np.array([setting.combination for setting in self.settings])
        return [np.flatnonzero(names == name) for name in np.unique(names)]

    def is_inside(self, row: int) -> bool:
        """Whether the study's space holds the setting of a row."""
        return bool(self._inside[row])

    def mask(self, settings: Iterable[Setting]) -> np.ndarray:
        """For each row whether it is inside the space, and among these settings."""
        among = np.zeros(len(self.settings), dtype=bool)
        among[[self._row[setting] for setting in settings if setting in self._row]] = True
        inside: np.ndarray = among & self._inside
        return inside

    def untried(self, tried: Iterable[Setting]) -> np.ndarray:
        """For each row whether it may be proposed: inside the space, and not among the tried."""
        untried: np.ndarray = self._inside & ~self.mask(tried)
        return untried
