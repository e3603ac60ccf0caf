"""Predicts speedups: a latency is the sum of its steps' work, so a few timed steps are enough.

The work of each step follows from the setting's plan (`tuner.plans.features`). What a unit of each
kind of work costs on this machine is fitted here, with no cost below zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tuner.measure.prediction import MOST_DEVIATION, Prediction
from tuner.search.frontier.context import Timing
from tuner.setting import Setting

TRIAL_WEIGHT = 20.0  # of a whole trial's measured latency, where a timed step's is 1
MAX_TRIALS = 500  # that a fit uses; its time grows with their number
FULL_PAIRS = 3  # timed pairs from which on a trial has its full weight
FIRST_SPREAD = 0.02  # of predictions, before any trial showed how good they are
SPREAD_WEIGHT = 4  # how many trials that assumption counts as
LEAST_SPREAD = 0.007
# By how much a prediction may be off, as a share of the setting's work of kinds never timed.
UNKNOWN_SPREAD = 0.5
GOOD_SPREAD = 0.025  # predictions that are off by no more need few pairs to confirm them
CONFIRMED = 5  # predictions that were confirmed, from which on that is known
UNPAIRED = 2  # trials in a row without a pair
RELEVANT = 1e-6  # of the greatest singular value: a direction that is known
PRIOR_INFORMATION = 0.01  # on the cost of a kind of work that was never timed
# The next setting that is timed must tell as much as if this share of every candidate's work were
# of one kind that was never timed.
LEAST_SHARE = 0.01
# Of a whole latency in that choice; a timed step has 1. Where the costs of several kinds of work
# are known only as a sum, the fit puts into one of them whatever of the sum is not linear.
WHOLE_WEIGHT = 0.1
MAX_CANDIDATES = 2000  # that the choice of what is timed looks at


@dataclass(frozen=True, kw_only=True)
class TimedSteps:
    """The times of each step of one generation, in units of the baseline's latency."""

    setting: Setting
    steps: tuple[float, ...]  # each denoising step
    rest: float  # text encoding and decoding
    # The work of each step where it was timed in another study, shape (steps, kinds of work).
    work: np.ndarray | None = field(default=None, compare=False)


class SpeedModel:
    """Latencies of settings relative to the baseline's.

    `work` returns the work of a setting's steps, shape (steps, kinds of work).
    """

    def __init__(self, work: Callable[[Setting], np.ndarray]) -> None:
        """A model that predicts no speedup until it is fitted."""
        self._work = work
        self._cost: np.ndarray | None = None
        self._timed_work = np.zeros((0, 0))  # the rows of work that the costs are fitted to
        self._totals: dict[Setting, np.ndarray] = {}
        self._typical: dict[TimedSteps, list[float]] = {}

    def fit(self, timed: Sequence[TimedSteps], trials: Sequence[tuple[Setting, Timing]]) -> None:
        """Fit to timed steps, and to trials' settings with their timings, which weigh more.

        Of many trials `MAX_TRIALS` are used, evenly from the first to the last.
        """
        from sklearn.linear_model import LinearRegression

        if not timed and not trials:
            return
        if len(trials) > MAX_TRIALS:
            chosen = np.linspace(0, len(trials) - 1, MAX_TRIALS).round().astype(int)
            trials = [trials[index] for index in chosen]
        rows: list[np.ndarray] = []
        latencies: list[float] = []
        weights: list[float] = []
        for generation in timed:
            work = self._work_of(generation)
            rows += [np.append(row, 0.0) for row in work]
            if generation not in self._typical:
                self._typical[generation] = typical(generation.steps, work)
            latencies += self._typical[generation]
            weights += [1.0] * len(work)
        itself = Timing(speedup=1.0, pairs=FULL_PAIRS)
        for setting, timing in [(Setting(), itself), *trials]:
            rows.append(self.total(setting))
            latencies.append(1 / timing.speedup)
            weights.append(TRIAL_WEIGHT * min(1.0, timing.pairs / FULL_PAIRS))
        rest = float(np.median([generation.rest for generation in timed])) if timed else 0.0
        if rest > 0:
            rows.append(np.append(np.zeros(len(rows[0]) - 1), 1.0))
            latencies.append(rest)
            weights.append(TRIAL_WEIGHT)
        # Of a whole trial the mean over its steps.
        self._timed_work = np.vstack(
            [self._work_of(generation) for generation in timed]
            + [self._work(setting).mean(axis=0) for setting, _ in trials]
        )
        target = np.array(latencies)
        regression = LinearRegression(positive=True, fit_intercept=False)
        # Weighted so that the relative error is minimised.
        regression.fit(np.vstack(rows), target, sample_weight=np.array(weights) / target**2)
        self._cost = regression.coef_

    def _work_of(self, generation: TimedSteps) -> np.ndarray:
        return self._work(generation.setting) if generation.work is None else generation.work

    def total(self, setting: Setting) -> np.ndarray:
        """The work of a whole generation by kind, and one for what is done once per generation."""
        if setting not in self._totals:
            self._totals[setting] = np.append(self._work(setting).sum(axis=0), 1.0)
        return self._totals[setting]

    def totals(self, settings: Sequence[Setting]) -> np.ndarray:
        """The `total` of each setting, shape (settings, kinds of work and one)."""
        return np.vstack([self.total(setting) for setting in settings])

    def speedups(self, settings: Sequence[Setting]) -> np.ndarray:
        """Predicted speedups over the baseline, shape (settings,)."""
        return self.speedups_of(self.totals(settings))

    def speedups_of(self, totals: np.ndarray) -> np.ndarray:
        """Predicted speedups of settings by their `totals`."""
        if self._cost is None:
            return np.ones(len(totals))
        latency = totals @ self._cost
        baseline = float(self.total(Setting()) @ self._cost)
        speedups: np.ndarray = baseline / np.maximum(latency, 1e-6)
        return speedups

    def prediction(
        self, setting: Setting, trials: Sequence[tuple[Setting, Timing | None]]
    ) -> Prediction:
        """The speedup of a setting, and how uncertain it is; `trials` are in their order.

        The uncertainty is that of the predictions for earlier trials, each made before its trial,
        and grows with the share of the setting's work that is of kinds never timed. Once enough of
        them were right, only every third trial needs a pair.
        """
        (speedup,) = self.speedups([setting])
        timings = [timing for _, timing in trials[-MAX_TRIALS:] if timing is not None]
        deviation = float(np.hypot(spread(timings), UNKNOWN_SPREAD * self.unknown_share(setting)))
        known = sum(timing.predicted is not None for timing in timings) >= CONFIRMED
        is_good = known and deviation <= GOOD_SPREAD
        paired_lately = any(timing is not None for _, timing in trials[-UNPAIRED:])
        return Prediction(
            speedup=float(speedup), spread=deviation, pair=not (is_good and paired_lately)
        )

    def unknown_share(self, setting: Setting) -> float:
        """The share of a setting's work that is no combination of what was timed, from 0 to 1.

        Each kind of work counts in units of the most that a step has of it.
        """
        work = self._work(setting)
        timed = self._timed_work if len(self._timed_work) else np.zeros((1, work.shape[1]))
        most = np.maximum(np.abs(np.vstack([timed, work])).max(axis=0), 1e-9)
        total = work.sum(axis=0) / most
        _, sizes, directions = np.linalg.svd(timed / most, full_matrices=False)
        directions = directions[sizes > RELEVANT * max(sizes[0], 1e-9)]
        unknown = total - directions.T @ (directions @ total)
        return float(np.linalg.norm(unknown) / np.linalg.norm(total))


def typical(steps: Sequence[float], work: np.ndarray) -> list[float]:
    """For each step the median of the steps of the same work: one that was disturbed has no say.

    `work` has the shape (steps, kinds of work).
    """
    _, kinds = np.unique(np.round(work, 6), axis=0, return_inverse=True)
    times, kinds = np.array(steps), kinds.ravel()
    return [float(np.median(times[kinds == kind])) for kind in kinds]


def spread(timings: Sequence[Timing]) -> float:
    """The standard deviation of the logarithms of predictions, from trials that were timed.

    What the pairs of a trial scatter themselves counts in it: how much of a deviation is theirs is
    not known of a single pair, and to take too much off would leave a bias of the model unseen.
    """
    total, count = SPREAD_WEIGHT * FIRST_SPREAD**2, SPREAD_WEIGHT
    for timing in timings:
        if timing.predicted is not None:
            deviation = min(MOST_DEVIATION, abs(np.log(timing.speedup / timing.predicted)))
            total += deviation**2
            count += 1
    return float(np.sqrt(max(total / count, LEAST_SPREAD**2)))


def settings_to_time(
    candidates: Sequence[Setting],
    work: Callable[[Setting], np.ndarray],
    count: int,
    measured: Sequence[Setting] = (),
    earlier: Sequence[TimedSteps] = (),
) -> list[Setting]:
    """Up to `count` settings whose timed steps make the candidates' latencies known best.

    Each next one lowers the mean variance of the candidates' predicted latencies most, each as a
    share of its latency (I-optimal design; Atkinson, Donev and Tobias, 2007), until none is left
    that lowers it enough (`LEAST_SHARE`). The baseline's steps are timed in any case, and those of
    an `earlier` study were. Of the settings `measured` only whole latencies are known, or are going
    to be, which tells little of their steps (`WHOLE_WEIGHT`). Of many candidates `MAX_CANDIDATES`
    are used.
    """
    if not candidates:
        return []
    candidates = candidates[:: 1 + (len(candidates) - 1) // MAX_CANDIDATES]  # evenly
    steps = [work(Setting()), *(g.work for g in earlier if g.work is not None)]
    offered = [work(setting) for setting in candidates]
    wholes = [work(setting).mean(axis=0, keepdims=True) for setting in measured]
    most = np.vstack([*steps, *offered, *wholes]).max(axis=0)
    unit = np.maximum(most, 1e-9)
    information = PRIOR_INFORMATION * np.eye(len(unit))
    for part in steps:
        information += _information(part / unit)
    for part in wholes:
        information += WHOLE_WEIGHT * _information(part / unit)
    totals = np.array([(part / unit).sum(axis=0) for part in offered])
    shares = totals / totals.sum(axis=1, keepdims=True)
    wanted = shares.T @ shares / len(shares)  # the mean variance is the trace of its product
    added = np.array([_information(part / unit) for part in offered])
    least = LEAST_SHARE**2 / PRIOR_INFORMATION
    chosen: list[int] = []
    before = float(np.trace(np.linalg.solve(information, wanted)))
    while len(chosen) < count:
        after = np.trace(np.linalg.solve(information + added, wanted), axis1=1, axis2=2)
        after[chosen] = before
        best = int(np.argmin(after))
        if before - after[best] < least:
            break
        chosen.append(best)
        information, before = information + added[best], float(after[best])
    return [candidates[index] for index in chosen]


def _information(rows: np.ndarray) -> np.ndarray:
    """What the distinct rows of work tell about the costs, shape (kinds, kinds)."""
    distinct = np.unique(np.round(rows, 6), axis=0)
    information: np.ndarray = distinct.T @ distinct
    return information
