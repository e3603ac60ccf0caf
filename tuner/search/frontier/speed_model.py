"""Predicting speedups: a latency is the sum of its steps' work, so a few timed steps tell it.

The work of each step follows from the setting's plan (`tuner.plans.features`); what a unit
of each kind of work costs on this machine is fitted here, with no cost below zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tuner.setting import Setting

TRIAL_WEIGHT = 20.0  # of a whole trial's measured latency against one timed step
UNTOLD = 0.01  # of a kind of work that was never timed: its information before
# In nats, what the next setting must tell: that of half a unit of one kind that was never timed.
ENOUGH = float(np.log1p(0.5**2 / UNTOLD))


@dataclass(frozen=True, kw_only=True)
class TimedSteps:
    """One generation with the clock read at every step, in units of the baseline's latency."""

    setting: Setting
    steps: tuple[float, ...]  # each denoising step
    rest: float  # text encoding and decoding


class SpeedModel:
    """Latencies of settings relative to the baseline's.

    `work` gives the kinds of work of a setting's steps, shape (steps, kinds).
    """

    def __init__(self, work: Callable[[Setting], np.ndarray]) -> None:
        """A model that knows nothing yet: `fit` it."""
        self._work = work
        self._cost: np.ndarray | None = None
        self._kept: dict[Setting, np.ndarray] = {}

    def fit(self, timed: Sequence[TimedSteps], trials: Sequence[tuple[Setting, float]]) -> None:
        """Learn from timed steps, and from trials with their speedups, which count more."""
        from sklearn.linear_model import LinearRegression

        rows: list[np.ndarray] = []
        latencies: list[float] = []
        weights: list[float] = []
        rests = [one.rest for one in timed]
        rest = float(np.median(rests)) if rests else 0.0
        for one in timed:
            work = self._work(one.setting)
            rows += [np.append(row, 0.0) for row in work]
            latencies += one.steps
            weights += [1.0] * len(work)
        if not timed and not trials:
            return
        for setting, speedup in [(Setting(), 1.0), *trials]:
            rows.append(self.total(setting))
            latencies.append(1 / speedup)
            weights.append(TRIAL_WEIGHT)
        if rest > 0:
            rows.append(np.append(np.zeros(len(rows[0]) - 1), 1.0))
            latencies.append(rest)
            weights.append(TRIAL_WEIGHT)
        found = np.array(latencies)
        fit = LinearRegression(positive=True, fit_intercept=False)
        # The error that matters is the relative one.
        fit.fit(np.vstack(rows), found, sample_weight=np.array(weights) / found**2)
        self._cost = fit.coef_

    def total(self, setting: Setting) -> np.ndarray:
        """The work of a whole generation, and one for what is done once."""
        if setting not in self._kept:
            self._kept[setting] = np.append(self._work(setting).sum(axis=0), 1.0)
        return self._kept[setting]

    def totals(self, settings: Sequence[Setting]) -> np.ndarray:
        """The work of whole generations, shape (settings, kinds and one)."""
        return np.vstack([self.total(one) for one in settings])

    def speedups(self, settings: Sequence[Setting]) -> np.ndarray:
        """Predicted speedups over the baseline; ones before anything was learned."""
        return self.speedups_of(self.totals(settings))

    def speedups_of(self, totals: np.ndarray) -> np.ndarray:
        """The same of settings whose `totals` are known."""
        if self._cost is None:
            return np.ones(len(totals))
        latency = totals @ self._cost
        baseline = float(self.total(Setting()) @ self._cost)
        found: np.ndarray = baseline / np.maximum(latency, 1e-6)
        return found


def to_time(
    candidates: Sequence[Setting],
    work: Callable[[Setting], np.ndarray],
    count: int,
    measured: Sequence[Setting] = (),
) -> list[Setting]:
    """Up to `count` settings whose steps tell most of what each kind of work costs.

    Each next one adds most to the determinant of the regression's information (D-optimal, after
    Fedorov, 1972), until the best one left tells less than `ENOUGH` nats. The baseline's steps are
    timed beside any other's, and of those `measured` the speedups are known, or going to be.
    """
    everything = [Setting(), *measured, *candidates]
    rows = [np.round(work(one), 6) for one in everything]
    kinds, which = np.unique(np.vstack(rows), axis=0, return_inverse=True)
    ends = np.cumsum([len(one) for one in rows])
    steps = [np.unique(one) for one in np.split(which.ravel(), ends[:-1])]  # each one's kinds
    first = 1 + len(measured)
    known, offered = steps[:first], dict(zip(candidates, steps[first:], strict=True))
    kinds = kinds / np.maximum(kinds.max(axis=0), 1e-9)
    information = UNTOLD * np.eye(kinds.shape[1])
    for one in known:
        information += kinds[one].T @ kinds[one]
    chosen: list[Setting] = []
    while offered and len(chosen) < count:
        told = np.log1p(((kinds @ np.linalg.inv(information)) * kinds).sum(axis=1))
        best = max(offered, key=lambda one: float(told[offered[one]].sum()))
        if told[offered[best]].sum() < ENOUGH:
            break
        chosen.append(best)
        found = kinds[offered.pop(best)]
        information += found.T @ found
    return chosen
