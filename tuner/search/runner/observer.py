"""What a running search reports, for a progress display and for scripts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from tuner.setting import Setting
from tuner.study.results import Result


class Observer:
    """Base class: ignores every report."""

    def study_began(self, study: optuna.Study, spent_s: Callable[[], float]) -> None:
        """A run has opened its study.

        `spent_s` returns the seconds that the study has cost by now; of a sweep, those of this run.
        """

    def baseline_progress(self, done: int, batches: int) -> None:
        """Another batch of the baseline was measured."""

    def baseline_measured(self, baseline: Mapping[str, Any]) -> None:
        """The baseline is known, from the database or measured now; its figures as stored."""

    def advanced(self, done: int, of: int) -> None:
        """How far the study is: in trials, or in the points of a sweep."""

    def trial_began(self, number: int, setting: Setting) -> None:
        """A trial has its setting."""

    def trial_went_on(self, number: int, measured: Any) -> None:
        """A trial has measured another batch of prompts: a `Measurement` so far."""

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """A trial has its result, or ended without one; its state is stored next.

        `state` is COMPLETE, 'same as trial 3', PRUNED or FAIL; the last two have a reason and no
        result.
        """

    def trial_queued_again(self, number: int) -> None:
        """The setting of a trial that crashed is queued for another trial."""

    def trial_stored(self, trial: FrozenTrial) -> None:
        """A trial that ended is stored with its state."""

    def resolve_began(self, result: Result) -> None:
        """The next trial measures the setting of an inconclusive result with more prompts."""

    def timing_began(self, setting: Setting) -> None:
        """A setting of the front, whose speedup is not known well, is timed in pairs."""

    def verification_began(self, setting: Setting) -> None:
        """A setting is measured on prompts that the search never used."""

    def verification_went_on(self, setting: Setting, measured: Any) -> None:
        """A verification has measured another batch of prompts: a `Measurement` so far."""

    def verified(self, result: Result) -> None:
        """A result was verified, or its verification has failed."""

    def waited(self, seconds: float) -> None:
        """The run has waited for other runs of its study."""

    def notice(self, line: str) -> None:
        """A line for the user."""

    def interrupted(self) -> None:
        """Ctrl-C was pressed: the run ends once the running batch has ended.

        Called by a signal handler, so that locks and buffered output must not be used.
        """


class Observers(Observer):
    """Passes every report on to several observers, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers


def _passed_on(report: str) -> Callable[..., None]:
    def pass_on(self: Observers, *arguments: Any) -> None:
        for observer in self._observers:
            getattr(observer, report)(*arguments)

    return pass_on


REPORTS = tuple(name for name in vars(Observer) if not name.startswith("_"))
for _report in REPORTS:
    setattr(Observers, _report, _passed_on(_report))
