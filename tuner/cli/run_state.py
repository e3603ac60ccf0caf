"""What is known of a run while it goes on, for whoever shows it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna

from tuner.cli.pace import Pace
from tuner.cli.sweep_progress import SweepProgress
from tuner.measure.figures import Figures
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.results import Result, read_results


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What a run is doing now."""

    title: str  # 'trial 12', 'verification'
    setting: Setting | None = None
    done: int = 0  # prompts, or batches of the baseline
    of: int | None = None  # how many there will be; None where that is not known
    unit: str = "prompts"
    is_trial: bool = False
    figures: Figures | None = None  # so far


class RunState(Observer):
    """Follows a run. Read by the thread that draws the live view, so values are replaced whole."""

    def __init__(
        self,
        spec: StudySpec,
        clock: Callable[[], float] = time.monotonic,
        sweep: SweepProgress | None = None,
    ) -> None:
        """`clock` returns seconds; `sweep` is how far the sweep is of which the study is one."""
        self.spec, self.sweep = spec, sweep
        self.goal = Goal.of(spec)
        self.study: optuna.Study | None = None
        self.activity = Activity(title="loading")
        self.done = 0  # trials, or points of a sweep
        self.of = spec.trials
        self.front: list[Result] = []
        self.best: Result | None = None
        self.is_stopping = False  # Ctrl-C was pressed
        self._results: list[Result] = []  # of a sweep only those of the front
        self._baseline_s: float | None = None
        self._spent_s: Callable[[], float] | None = None
        self._resolves = False
        self._pace = Pace(clock)
        self._clock = clock

    @property
    def name(self) -> str:
        """The study's name; before it is open, the triple."""
        return self.spec.triple if self.study is None else self.study.study_name

    @property
    def cost_s(self) -> float | None:
        """Seconds that the study has cost; of a sweep, those of this run."""
        return None if self._spent_s is None else self._spent_s()

    @property
    def cost_in_baselines(self) -> float | None:
        """The cost in units of what the baseline takes for the prompts of one trial."""
        cost_s = self.cost_s
        if cost_s is None or not self._baseline_s:
            return None
        return cost_s / self._baseline_s

    @property
    def left_s(self) -> float | None:
        """Seconds until the last trial ends, by the pace of this run; None where unknown.

        Unknown before some trials have ended, and after the last one: how many settings are
        re-measured and verified then depends on their figures.
        """
        is_searching = self.activity.is_trial and self.done < (self.of or 0)
        left_s, begun_s = self._pace.left_s, self._pace.begun_s
        if not is_searching or left_s is None or begun_s is None:
            return None
        if self.spec.timeout is not None:
            left_s = min(left_s, max(0.0, begun_s + self.spec.timeout - self._clock()))
        return left_s

    def study_began(self, study: optuna.Study, spent_s: Callable[[], float]) -> None:
        """Read the results that the study has already."""
        self.study, self._spent_s = study, spent_s
        self.activity = Activity(title="baseline")
        self._read_results()

    def baseline_progress(self, done: int, batches: int) -> None:
        """The baseline is being measured."""
        self.activity = Activity(title="baseline", done=done, of=batches, unit="batches")

    def baseline_measured(self, baseline: Mapping[str, Any]) -> None:
        """The unit of the cost is known."""
        self._baseline_s = self.spec.num_samples * baseline["latency_s"]
        self.activity = Activity(title="choosing settings")

    def advanced(self, done: int, of: int) -> None:
        """Count the trials, or the points of a sweep."""
        self.done, self.of = done, of
        self._pace.advanced(done, of)

    def trial_began(self, number: int, setting: Setting) -> None:
        """A trial is in flight."""
        again = " (re-measured)" if self._resolves else ""
        self.activity = Activity(
            title=f"trial {number}{again}", setting=setting, of=self._prompts, is_trial=True
        )

    def trial_went_on(self, number: int, measured: Any) -> None:
        """A trial has more prompts."""
        self._measured(measured)

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """The front may have changed. The trial is not yet stored as one that has ended."""
        self._resolves = False
        if result is not None and state == "COMPLETE":
            self._include(result)

    def resolve_began(self, result: Result) -> None:
        """The trial that follows is no part of the budget."""
        self._resolves = True

    def timing_began(self, setting: Setting) -> None:
        """A setting of the front is timed; an earlier one may have new figures."""
        self._read_results()
        self.activity = Activity(title="timing the front", setting=setting)

    def verification_began(self, setting: Setting) -> None:
        """The best setting is verified; an earlier timing may have changed the front."""
        self._read_results()
        self.activity = Activity(title="verification", setting=setting, of=self._prompts)

    def verification_went_on(self, setting: Setting, measured: Any) -> None:
        """A verification has more prompts."""
        self._measured(measured)

    def verified(self, result: Result) -> None:
        """A result may no longer be feasible."""
        self._include(result)

    def interrupted(self) -> None:
        """Ctrl-C was pressed."""
        self.is_stopping = True

    @property
    def _prompts(self) -> int:
        return self.spec.num_samples

    def _measured(self, measured: Figures) -> None:
        more = measured.prompts > self._prompts  # while the verdict is inconclusive
        self.activity = replace(
            self.activity,
            done=measured.prompts,
            of=None if more else self._prompts,
            figures=measured,
        )

    def _read_results(self) -> None:
        """Read the study's results; a sweep's many trials are not read."""
        if self.spec.sweep is None and self.study is not None:
            self._set_results(read_results(self.study))

    def _include(self, result: Result) -> None:
        """Take in a result in place of an earlier one of its setting, which had fewer prompts."""
        others = [other for other in self._results if other.setting != result.setting]
        self._set_results([*others, result])

    def _set_results(self, results: list[Result]) -> None:
        self.front = self.goal.front(results)
        self.best = self.goal.answer(results)
        self._results = results if self.spec.sweep is None else self.front
