"""By how much the untried settings of a table are expected to improve the result of a search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import ndtr

from tuner.search.frontier.acquisition import (
    SPREAD,
    expected_improvement,
    hypervolume_improvement,
    improvement_over,
    mean_improvement,
)
from tuner.search.frontier.context import Observation
from tuner.search.frontier.feasibility import Feasibility
from tuner.search.frontier.history import History
from tuner.search.frontier.table import CandidateTable
from tuner.spec import Aim

STOPPED_SHARE = 0.4  # of its prompts are spent on an infeasible trial, on average
PAIR = 1 / 8  # of the baseline's seconds for a trial's prompts are spent on timing it
QUANTILES = (np.arange(16) + 0.5) / 16
FEW = 3  # trials of each combination before others get more, with the aim `combinations`
HOPELESS = 0.01  # probability to reach the target, of settings that are not worth a trial
NEGLIGIBLE = 1e-9  # an improvement that is none


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """The expected improvement by each of some rows, as means over the worlds of running trials.

    `value` ranks the rows: with the aims `max` and `combinations` it is for each second that the
    trial is expected to cost. With a target and the aim `max` it is the probability to reach it
    within the limits, if any setting has a chance. `share` is the improvement as a share of
    what is improved: of the setting's own speedup, the best speedup of its combination, or the
    area that a front could cover at most. `reaching` is the probability to reach the target within
    the limits. `holding` is the same for a verification of a speedup that is only predicted, and
    `holding_at_once` the probability that it needs no further prompts. The three are zero without a
    target.
    """

    value: np.ndarray
    share: np.ndarray
    reaching: np.ndarray
    holding: np.ndarray
    holding_at_once: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Improvements:
    """Computes improvements over the rows of a table, by the aim of the search.

    `limit`: of the score loss; `target`: the speedup that ends the search, where one does;
    `warm_start`: the trials of a source study.
    """

    table: CandidateTable
    feasibility: Feasibility
    aim: Aim
    limit: float
    target: Callable[[], float] | None = None
    warm_start: Sequence[Observation] = ()

    def of(
        self, speedups: np.ndarray, spread: float, history: History, rows: np.ndarray
    ) -> Improvement:
        """The improvement by these `rows`.

        `speedups` are those of all rows, and `spread` is the standard deviation of the logarithms
        of predictions. It counts where a setting is verified at once; a trial that turns out too
        slow is cheap and corrects the predictions.
        """
        feasible = self.feasibility.surely_within_all()  # (worlds, all rows)
        done = self._measured(history)
        faster = partial(improvement_over, speedups, done, rows)
        value: np.ndarray
        sure = feasible[:, rows].mean(axis=0)
        reaching = self._reaching(speedups[rows], SPREAD, sure)
        holding = self._reaching(speedups[rows], spread, sure)
        at_once = np.zeros_like(reaching)
        if self.target is not None:
            likely = self.feasibility.surely_within_all(at_once=True)[:, rows].mean(axis=0)
            at_once = self._reaching(speedups[rows], spread, likely)
        if self.aim == "max":
            value = mean_improvement(feasible, rows, faster)
            share = value / speedups[rows]
        if self.aim == "combinations":
            in_each = partial(self._in_its_combination, speedups, done, rows)
            value = share = mean_improvement(feasible, rows, in_each)
        if self.aim == "front" or not (value > NEGLIGIBLE).any():
            likely = self.feasibility.within_bounds()[rows]
            value = likely * self._in_area(speedups, done, rows)
        if self.aim == "front":
            share = value / (self.limit * max(speedups.max() - 1, NEGLIGIBLE))
        if not (value > NEGLIGIBLE).any():
            # Nothing is faster than the baseline: look for what is nearest to it.
            value = mean_improvement(feasible, rows, partial(faster, least=0.0))
        if self.aim != "front":
            pictures = sure + (1 - sure) * STOPPED_SHARE
            value = value / (pictures / speedups[rows] + PAIR)
        if self.aim == "max" and reaching.max(initial=0.0) >= HOPELESS:
            value = reaching  # whatever the trial costs: one that fails leads to more of them
        return Improvement(
            value=value,
            share=share,
            reaching=reaching,
            holding=holding,
            holding_at_once=at_once,
        )

    def _reaching(self, speedups: np.ndarray, spread: float, feasible: np.ndarray) -> np.ndarray:
        """The probability that settings reach the target within the limits; zeros without one.

        `speedups` are the predicted ones, the logarithms of which have the standard deviation
        `spread`, and `feasible` the probabilities that the settings are within the limits, both of
        shape (settings,).
        """
        if self.target is None:
            return np.zeros_like(speedups)
        reaching: np.ndarray = feasible * ndtr(np.log(speedups / self.target()) / spread)
        return reaching

    def _measured(self, history: History) -> list[int]:
        """The rows inside the space that were measured or are being measured."""
        rows = self.table.rows([result for result in history.observations if result.current])
        rows += [self.table.row(setting) for setting in history.running]
        return [row for row in rows if self.table.is_inside(row)]

    def _in_its_combination(
        self, speedups: np.ndarray, done: Sequence[int], rows: np.ndarray, feasible: np.ndarray
    ) -> np.ndarray:
        """The expected gain in the fastest speedup of each setting's own combination.

        Relative to the speedups of the combination, so that slow combinations count as much as fast
        ones. One without a feasible setting gains the whole speedup, and those with few trials come
        first; of those that a source study knows, one trial is enough.
        """
        known = self.table.rows(self.warm_start)
        improvement = np.zeros_like(speedups)
        for group in self.table.rows_by_combination():
            mine = np.intersect1d(group, np.array(done, dtype=int))
            gain = expected_improvement(speedups[group], speedups[mine], feasible[mine], least=0.0)
            few = 1 if len(np.intersect1d(group, known)) >= FEW else FEW
            improvement[group] = gain / speedups[group].max() + (len(mine) < few)
        of_rows: np.ndarray = improvement[rows]
        return of_rows

    def _in_area(self, speedups: np.ndarray, done: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """The expected gain in the area between the front, a speedup of 1 and the limit."""
        expected = self.feasibility.mean_losses()
        losses_at = self.feasibility.losses_at(QUANTILES, rows)
        improvements = []
        for mean_losses, losses in zip(expected, losses_at, strict=True):  # in each world
            measured = [
                (speedups[row], float(mean_losses[row]))
                for row in done
                if mean_losses[row] < self.limit and speedups[row] > 1
            ]
            improvement = hypervolume_improvement(speedups[rows], losses, measured, self.limit)
            improvements.append(improvement.mean(axis=1))
        mean: np.ndarray = np.mean(improvements, axis=0)
        return mean
