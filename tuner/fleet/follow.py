"""Follows a study that other processes search: reads the storage, and reports as a run does.

What a run tells its observers as it happens, such as each batch, is not stored and not reported.
"""

import optuna
from optuna.trial import TrialState

from tuner.search.runner.observer import Observer
from tuner.search.runner.progress import is_done
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.log import log_of
from tuner.storage.trial_log import ENDED
from tuner.study.baseline import BASELINE, attributes
from tuner.study.costs import read_costs
from tuner.study.results import Result, read_result, read_results
from tuner.study.schema import SAME_AS, SETTING


class Follower:
    """Reports what is new in a study since the last look."""

    def __init__(self, study: optuna.Study, spec: StudySpec, observer: Observer) -> None:
        """What is stored already is not reported, but for the baseline."""
        self.study, self.spec = study, spec
        self._observer = observer
        self._seen = {number for _, number, _ in log_of(study).attributes(*ENDED)}
        self._verified = {result.trial: _verification(result) for result in self._results()}
        self._has_baseline = False
        observer.study_began(study, lambda: read_costs(study).total.total_s)

    def look(self) -> None:
        """Report what is new."""
        stored = attributes(self.study)
        if not self._has_baseline and BASELINE in stored:
            self._has_baseline = True
            self._observer.baseline_measured(stored[BASELINE])
        log = log_of(self.study)
        if log.finished() > len(self._seen):  # all trials are read only where there are new ones
            for number in sorted({n for _, n, _ in log.attributes(*ENDED)} - self._seen):
                self._seen.add(number)
                self._report(number)
        if self._has_baseline:
            is_done(self.study, self.spec.trials, self._observer)
        for result in self._results():
            if self._verified.get(result.trial) != _verification(result):
                self._verified[result.trial] = _verification(result)
                self._observer.verified(result)

    @property
    def running(self) -> int:
        """How many trials run now."""
        return log_of(self.study).count(TrialState.RUNNING)

    def _results(self) -> list[Result]:
        """The results; a sweep, whose trials may be very many, verifies only its winner."""
        return read_results(self.study) if self.spec.sweep is None else []

    def _report(self, number: int) -> None:
        """Report a trial that has ended."""
        trial = log_of(self.study).trial(number)
        stored = trial.user_attrs
        if SETTING in stored:
            self._observer.trial_began(number, Setting.of(stored[SETTING]))
        if trial.state == TrialState.COMPLETE:
            state = f"same as trial {stored[SAME_AS]}" if SAME_AS in stored else "COMPLETE"
            result = read_result(self.study, number, stored)
            self._observer.trial_ended(number, state, result, "")
        else:
            reason = str(stored.get("reason", "its worker has ended"))
            self._observer.trial_ended(number, trial.state.name, None, reason)
        self._observer.trial_stored(trial)


def _verification(result: Result) -> tuple[object, ...]:
    """What tells verifications apart."""
    verified = result.verified
    figures = None if verified is None else (verified.prompts, verified.speedup.value)
    return figures, result.failed_again
