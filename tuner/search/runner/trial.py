"""One trial: its setting is suggested, measured or copied, and recorded.

A crash, a lack of memory or an interruption costs at most the running trial, whose attributes
record the reason.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import (
    BadPictureError,
    DatabaseGoneError,
    DeviceMemoryError,
    TrialError,
    UsageError,
    in_words,
)
from tuner.formatting import percent
from tuner.iterators import closing
from tuner.limits import Limits
from tuner.measure.account import Ledger
from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.observer import Observer
from tuner.search.runner.stopping import Answer, StoppingRule, measure_until_stopped
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.storage.retries import CUT_OFF, QUEUED, RESOLVES, TRIES, is_cut_off, next_try
from tuner.storage.worker import WORKER
from tuner.study.constraints import set_constraints
from tuner.study.recording import record_trial
from tuner.study.results import read_result
from tuner.study.schema import BEHIND, COST, SAME_AS, SETTING

LOST = "marked as failed by another run while this process was suspended; figures discarded"
CERTAIN = (BadPictureError, DeviceMemoryError)  # what the same setting would meet again
OWN = (WORKER, RESOLVES, QUEUED, TRIES, COST)  # attributes that a copy does not take over


class Measure(Protocol):
    """The measuring half, as the searching half sees it."""

    def __call__(self, setting: Setting, trial: int) -> Iterator[Any]:
        """Yield a `Measurement` after each batch of prompts."""


def interruptible_by(
    interruptible: Interruptible, study: optuna.Study, measurements: Iterator[Any]
) -> Iterator[Any]:
    """The measurements of a trial, which end by Ctrl-C between two batches.

    Raises an error too where another run has marked the trial as failed meanwhile.
    """
    with interruptible.taking_errors(), closing(measurements):
        for measured in measurements:
            yield measured
            interruptible.check()
            log_of(study).check()


@dataclass(frozen=True, kw_only=True)
class TrialRunner:
    """Runs the trials of a study, one at a time."""

    study: optuna.Study
    limits: Limits
    observer: Observer
    suggest: Callable[[optuna.Trial], Setting]
    measured_before: Callable[[Setting], FrozenTrial | None]  # a trial whose figures can be used
    rule: Callable[[Setting, bool], StoppingRule]  # for a setting, and whether it is resolved
    measure: Measure
    ledger: Ledger = field(default_factory=Ledger)  # in which the measuring half enters its costs
    measures_all: bool = False  # a setting that another trial measures at this moment, too

    def run(self, trial: optuna.Trial) -> FrozenTrial | None:
        """Run a trial and store how it ended.

        Returns None if another run had marked it as failed meanwhile; the observer is notified.
        Errors that are not of this trial are raised.
        """
        try:
            ended = self._run_to_end(trial)
        except UpdateFinishedTrialError:
            ended = None
        finally:
            log_of(self.study).done_with(trial)
            self.ledger.settle(stored=False)
        if ended is None:
            self.observer.trial_ended(trial.number, "FAIL", None, LOST)
        else:
            self.observer.trial_stored(ended)
        return ended

    def _run_to_end(self, trial: optuna.Trial) -> FrozenTrial | None:
        """Run a trial and store its end; None if another run had ended it."""
        values, state = None, TrialState.FAIL
        try:
            values = self._values(trial)
            state = TrialState.COMPLETE
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        except (TrialError, UpdateFinishedTrialError):
            pass
        except DatabaseGoneError:
            raise
        except BaseException:
            with suppress(UpdateFinishedTrialError, DatabaseGoneError):
                self.study.tell(trial, state=state, skip_if_finished=True)
            raise
        # If another run has ended the trial, Optuna stores nothing, and the log reports it as lost.
        ended = self.study.tell(trial, values, state, skip_if_finished=True)
        return None if log_of(self.study).is_lost(trial) else ended

    def _values(self, trial: optuna.Trial) -> tuple[float, float]:
        """Run a trial; returns its speedup and score loss."""
        setting = self.suggest(trial)
        self._reserve(trial, setting)
        trial.set_user_attr("combination", setting.combination)
        self.observer.trial_began(trial.number, setting)
        try:
            source = self._fill_in(trial, setting)
        except optuna.TrialPruned:
            self._report_stopped(trial)
            raise
        except (UsageError, UpdateFinishedTrialError, DatabaseGoneError):
            raise
        except KeyboardInterrupt:
            with suppress(DatabaseGoneError):
                self._queue_interrupted(trial)
            raise
        except Exception as error:
            raise TrialError(self._record_failure(trial, error)) from error
        stored = trial.user_attrs
        state = "COMPLETE" if source is None else f"same as trial {source.number}"
        result = read_result(self.study, trial.number, stored)
        self.observer.trial_ended(trial.number, state, result, "")
        return float(stored["speedup"]), float(stored["score_loss"])

    def _reserve(self, trial: optuna.Trial, setting: Setting) -> None:
        """Store the setting of a trial; ends the trial if another one measures the same now.

        Such a trial does not count. The sampler `frontier` reserves what it proposes, so that this
        happens to queued settings and to other samplers' only.
        """
        if self.measures_all:
            trial.set_user_attr(SETTING, setting.params)
            return
        if log_of(self.study).reserve(trial, SETTING, setting.params):
            return
        reason = "another trial measures the same setting at this moment"
        trial.set_user_attr("reason", reason)
        trial.set_user_attr(CUT_OFF, True)
        self.observer.trial_ended(trial.number, "FAIL", None, reason)
        raise TrialError(reason)

    def _fill_in(self, trial: optuna.Trial, setting: Setting) -> FrozenTrial | None:
        """Copy the figures of an earlier trial, which is returned, or measure the setting.

        Raises `optuna.TrialPruned` for a trial that was stopped early.
        """
        resolves = RESOLVES in trial.user_attrs
        with log_of(self.study).one_reading():
            source = None if resolves else self.measured_before(setting)
            rule = self.rule(setting, resolves)
            # It may predict the speedup from the study's trials.
            measurements = iter(()) if source is not None else self.measure(setting, trial.number)
        if source is not None:
            self._copy(trial, source)
            if source.state == TrialState.PRUNED:
                raise optuna.TrialPruned
            return source
        measured, answer = self._measured(trial, measurements, rule)
        record_trial(trial, measured, self.limits)
        self.ledger.settle(stored=True)
        ahead = rule.ahead(measured) if answer is Answer.BEATEN else None
        if ahead is not None:
            trial.set_user_attr(BEHIND, ahead.trial)
        if answer.stops:
            raise optuna.TrialPruned
        return None

    def _measured(
        self, trial: optuna.Trial, measurements: Iterator[Any], rule: StoppingRule
    ) -> tuple[Any, Answer]:
        """The last measurement, and what the rule answered.

        What a trial has cost until an error ends it is stored here: there may be no measurement.
        """

        def on_batch(measured: Any) -> None:
            self.observer.trial_went_on(trial.number, measured)

        try:
            measured, answer = measure_until_stopped(measurements, rule, on_batch)
        except BaseException:
            with suppress(UpdateFinishedTrialError, DatabaseGoneError):
                if self.ledger.ended_trial is not None:
                    trial.set_user_attr(COST, self.ledger.ended_trial.stored())
                    self.ledger.settle(stored=True)
            raise
        cost = self.ledger.ended_trial
        return measured if cost is None else replace(measured, cost=cost), answer

    def _copy(self, trial: optuna.Trial, source: FrozenTrial) -> None:
        copied = {name: value for name, value in source.user_attrs.items() if name not in OWN}
        log_of(self.study).set_attributes(trial, {**copied, SAME_AS: source.number})
        set_constraints(trial, self.limits)

    def _report_stopped(self, trial: optuna.Trial) -> None:
        stored = trial.user_attrs
        behind = stored.get(BEHIND)
        outcome = "miss a limit"
        if behind is not None:
            outcome = f"be slower and lose more than trial {behind}"
        reason = (
            f"stopped after {stored['prompts']} prompts, certain to {outcome}; "
            f"loss {percent(stored['score_loss'], 1)} so far"
        )
        trial.set_user_attr("reason", reason)
        self.observer.trial_ended(trial.number, "PRUNED", None, reason)

    def _queue_interrupted(self, trial: optuna.Trial) -> None:
        """Queue an interrupted trial again, which does not count as one of its tries."""
        trial.set_user_attr("reason", "interrupted")
        stored = log_of(self.study).stored(trial)
        retry = next_try(stored, counts=False)
        if is_cut_off(stored, retry):
            trial.set_user_attr(CUT_OFF, True)
        if retry is not None:
            log_of(self.study).queue_at_end(trial, retry)

    def _record_failure(self, trial: optuna.Trial, error: Exception) -> str:
        """Record why a trial failed, and queue it again unless it would fail again.

        Of a setting that fails at every try only the last trial counts, so that the study ends.
        """
        reason = in_words(error)
        trial.set_user_attr("reason", reason)
        if not isinstance(error, TrialError):
            trial.set_user_attr("traceback", traceback.format_exc()[-4000:])
        certain = isinstance(error, CERTAIN)
        retry = None if certain else next_try(log_of(self.study).stored(trial))
        if retry is not None:
            trial.set_user_attr(CUT_OFF, True)
            log_of(self.study).queue_at_end(trial, retry)
        self.observer.trial_ended(trial.number, "FAIL", None, reason)
        if retry is not None:
            self.observer.trial_queued_again(trial.number)
        return reason
