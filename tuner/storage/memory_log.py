"""The log of a study whose trials Optuna keeps in memory, with one process at work."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.storage.optuna_names import CONSTRAINTS
from tuner.storage.recovery import Running
from tuner.storage.retries import CUT_OFF, RESOLVES
from tuner.storage.trial_log import ENDED, TrialLog


class MemoryLog(TrialLog):
    """Reads Optuna's own objects."""

    @property
    def keeps_trials(self) -> bool:
        """Always."""
        return True

    def count(self, state: TrialState) -> int:
        """How many trials are in a state."""
        return len(self._trials(state))

    def count_with(self, attribute: str, *states: TrialState) -> int:
        """How many trials in any of these states have a user attribute."""
        return sum(attribute in trial.user_attrs for trial in self._trials(*states))

    def counted(self) -> int:
        """How many trials have ended and count; a failed one that was cut off does not."""
        return sum(
            RESOLVES not in trial.user_attrs
            and not (trial.state == TrialState.FAIL and CUT_OFF in trial.user_attrs)
            for trial in self._trials(*ENDED)
        )

    def waiting(self) -> int:
        """How many queued trials there are."""
        return self.count(TrialState.WAITING)

    def begun(self) -> int:
        """How many trials there are, in whatever state."""
        return len(self._study.get_trials(deepcopy=False))

    def durations(self, most: int) -> list[float]:
        """Seconds that each of the last complete trials took."""
        spans = [trial.duration for trial in self._trials(TrialState.COMPLETE)[-most:]]
        return [span.total_seconds() for span in spans if span is not None]

    def last_change(self) -> datetime | None:
        """When a trial last began or ended."""
        trials = self._study.get_trials(deepcopy=False)
        times = [
            time for trial in trials for time in (trial.datetime_start, trial.datetime_complete)
        ]
        return max((time for time in times if time is not None), default=None)

    def queue_first(self, trials: Sequence[FrozenTrial]) -> None:
        """Queue the trials that a study begins with; none where it has trials already."""
        if not self.begun():
            self._study.add_trials(trials)

    def queue_at_end(self, trial: optuna.Trial, retry: FrozenTrial) -> None:
        """Queue `retry`; the order matters to no other process."""
        self._study.add_trial(retry)

    def ask(self, trials: int | None) -> optuna.Trial | None:
        """Begin the next trial; no other process runs one here."""
        return self._study.ask()

    def replace_constraints(self, constraints: Mapping[int, list[float]]) -> None:
        """Replace the constraints of finished trials, by their ids."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial._trial_id in constraints:
                trial.system_attrs[CONSTRAINTS] = constraints[trial._trial_id]

    def set_attributes(self, trial: optuna.Trial, attributes: Mapping[str, Any]) -> None:
        """Store several user attributes of a running trial."""
        for name, value in attributes.items():
            trial.set_user_attr(name, value)

    def reserve(self, trial: FrozenTrial | optuna.Trial, attribute: str, value: Any) -> bool:
        """Store an attribute, unless another running trial has the same."""
        others = [t for t in self._trials(TrialState.RUNNING) if t.number != trial.number]
        if any(other.user_attrs.get(attribute) == value for other in others):
            return False
        if isinstance(trial, optuna.Trial):
            trial.set_user_attr(attribute, value)
        else:
            self._study._storage.set_trial_user_attr(trial._trial_id, attribute, value)
        return True

    def one_reading(self) -> AbstractContextManager[None]:
        """Nothing is read from anywhere."""
        return nullcontext()

    def fail_dead_trials(self) -> int:
        """No other process runs trials here."""
        return 0

    def running(self) -> list[Running]:
        """No other process runs trials here."""
        return []

    def claim(self, part: str) -> None:
        """No other process does any work here."""

    def pass_over(self, queued: Sequence[FrozenTrial]) -> None:
        """Nothing is queued here by other runs."""

    def heartbeats(self) -> AbstractContextManager[None]:
        """Nothing to write: there is no other process."""
        return nullcontext()

    def check(self) -> None:
        """No other process can mark a trial as failed."""

    def is_lost(self, trial: optuna.Trial) -> bool:
        """Never: no other process can end a trial."""
        return False

    def done_with(self, trial: optuna.Trial) -> None:
        """There is nothing to stop."""

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)
