"""Follows a study that other processes search: reads the storage, and reports as a run does.

What a run tells its observers as it happens, such as each batch, is not stored and not reported.
"""

from collections.abc import Mapping
from typing import Any

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
from tuner.study.results import read_result
from tuner.study.schema import SAME_AS, SETTING, VERIFIED


class Follower:
    """Reports what is new in a study since the last look."""

    def __init__(self, study: optuna.Study, spec: StudySpec, observer: Observer) -> None:
        """What is stored already is not reported, but for the baseline."""
        self.study, self.spec = study, spec
        self._observer = observer
        self._seen = {number for _, number, _ in log_of(study).attributes(*ENDED)}
        self._verified = attributes(study).get(VERIFIED, {})  # as stored, by the trial's number
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
        self._report_verifications(stored.get(VERIFIED, {}))

    @property
    def running(self) -> int:
        """How many trials run now."""
        return log_of(self.study).count(TrialState.RUNNING)

    def _report_verifications(self, stored: Mapping[str, Any]) -> None:
        """Report the verifications among `stored` that are new."""
        new = [number for number, entry in stored.items() if self._verified.get(number) != entry]
        self._verified = stored
        for number in new:
            trial = log_of(self.study).trial(int(number))
            self._observer.verified(read_result(self.study, trial.number, trial.user_attrs))

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
