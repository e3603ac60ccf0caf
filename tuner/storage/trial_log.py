"""The interface through which the search reads and ends trials, wherever they are stored.

Optuna's private attributes are used in this package only.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.storage.claims import Claim
from tuner.storage.optuna_names import CONSTRAINTS, FIXED
from tuner.storage.recovery import Running

ENDED = tuple(state for state in TrialState if state.is_finished())


class TrialLog(ABC):
    """The trials of one study."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    # Reading

    def attributes(
        self, *states: TrialState, without: tuple[str, ...] = ()
    ) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """The trials in these states: each one's id, number and user attributes.

        The attributes `without` need not be read. The dictionaries must not be changed.
        """
        for trial in self._study.get_trials(deepcopy=False, states=states):
            yield trial._trial_id, trial.number, trial.user_attrs

    @property
    @abstractmethod
    def keeps_trials(self) -> bool:
        """Whether Optuna keeps the study's finished trials in this process's memory."""

    @abstractmethod
    def count(self, state: TrialState) -> int:
        """How many trials are in a state."""

    @abstractmethod
    def count_with(self, attribute: str, *states: TrialState) -> int:
        """How many trials in any of these states have a user attribute."""

    @abstractmethod
    def waiting(self) -> int:
        """How many queued trials this run may begin."""

    @abstractmethod
    def begun(self) -> int:
        """How many trials there are, in whatever state; their numbers have no gaps."""

    def finished(self) -> int:
        """How many trials have ended, in whatever state."""
        # A queued trial that begins meanwhile is subtracted twice, rather than never.
        return self.begun() - self.count(TrialState.WAITING) - self.count(TrialState.RUNNING)

    @abstractmethod
    def counted(self) -> int:
        """How many trials have ended and count towards the number that the study is to have."""

    @abstractmethod
    def durations(self, most: int) -> list[float]:
        """Seconds that each of the last complete trials took, `most` of them."""

    def stored(self, trial: optuna.Trial) -> FrozenTrial:
        """A running trial as it is stored."""
        return trial.storage.get_trial(trial._trial_id)

    @abstractmethod
    def last_change(self) -> datetime | None:
        """When a trial last began or ended, in local time; None before the first trial."""

    def trial(self, number: int) -> FrozenTrial:
        """The trial of this number, as it is stored; raises KeyError where there is none."""
        storage = storage_of(self._study)
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        trial: FrozenTrial = storage.get_trial(trial_id)
        return trial

    def params(self, number: int) -> dict[str, Any]:
        """The parameters of the trial of this number."""
        return self.trial(number).params

    def system_attributes(self, prefix: str) -> Iterator[tuple[int, str, Any]]:
        """The system attributes of trials whose name begins so: trial's number, name and value."""
        for trial in self._study.get_trials(deepcopy=False):
            for name, value in trial.system_attrs.items():
                if name.startswith(prefix):
                    yield trial.number, name, value

    @property
    def key(self) -> tuple[Any, int]:
        """The storage and the study's id in it, which identify the study in this process."""
        return storage_of(self._study), self._study._study_id

    # Changing

    @abstractmethod
    def ask(self, trials: int | None) -> optuna.Trial | None:
        """Begin the next trial, queued or new.

        None where the study has `trials` trials with those that other processes run now, of which
        one may fail and leave room for another.
        """

    def begin(self, fixed: Mapping[str, Any], attributes: Mapping[str, Any]) -> optuna.Trial:
        """Begin a trial of fixed parameters at once, ahead of those that are queued."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            system_attrs={FIXED: dict(fixed)},
            user_attrs=dict(attributes),
        )
        trial_id = self._study._storage.create_new_trial(
            self._study._study_id, template_trial=template
        )
        return optuna.Trial(self._study, trial_id)

    @abstractmethod
    def queue_first(self, trials: Sequence[FrozenTrial]) -> None:
        """Queue the trials that a study begins with; none where it has trials already."""

    @abstractmethod
    def queue_at_end(self, trial: optuna.Trial, retry: FrozenTrial) -> None:
        """Queue `retry` together with the end of a running trial."""

    def set_fixed(self, trial: FrozenTrial, fixed: Mapping[str, Any]) -> None:
        """Give a queued trial other fixed parameters."""
        self._study._storage.set_trial_system_attr(trial._trial_id, FIXED, dict(fixed))

    def set_constraints(self, trial: optuna.Trial, constraints: Sequence[float]) -> None:
        """Store the constraints of a running trial; at most zero is feasible."""
        trial.storage.set_trial_system_attr(trial._trial_id, CONSTRAINTS, list(constraints))

    @abstractmethod
    def replace_constraints(self, constraints: Mapping[int, list[float]]) -> None:
        """Replace the constraints of finished trials, by their ids."""

    @abstractmethod
    def set_attributes(self, trial: optuna.Trial, attributes: Mapping[str, Any]) -> None:
        """Store several user attributes of a running trial, in one transaction."""

    def set_study_attribute_at_once(self, name: str, value: Any) -> None:
        """Store a user attribute of the study; a database that does not answer raises its error."""
        self._study.set_user_attr(name, value)

    @abstractmethod
    def reserve(self, trial: FrozenTrial | optuna.Trial, attribute: str, value: Any) -> bool:
        """Store a user attribute of a running trial, unless another running trial has the same.

        Returns whether it was stored. Of several processes that reserve the same value at the same
        time one succeeds.
        """

    @abstractmethod
    def one_reading(self) -> AbstractContextManager[None]:
        """Read the study's trials once for the length of a ``with`` block.

        What other processes change meanwhile is seen after it.
        """

    # Other processes

    @abstractmethod
    def fail_dead_trials(self) -> int:
        """Mark trials whose process died as failed, queue them again; returns how many."""

    @abstractmethod
    def running(self) -> list[Running]:
        """The trials that some process runs."""

    @abstractmethod
    def claim(self, part: str) -> Claim | None:
        """Work on the study that one process does for all; None where there is no other one."""

    @abstractmethod
    def pass_over(self, queued: Sequence[FrozenTrial]) -> None:
        """Leave these queued trials to other runs."""

    @abstractmethod
    def heartbeats(self) -> AbstractContextManager[None]:
        """Write heartbeats for the length of a ``with`` block."""

    @abstractmethod
    def check(self) -> None:
        """Raise `UpdateFinishedTrialError` where another process marked a trial as failed."""

    @abstractmethod
    def is_lost(self, trial: optuna.Trial) -> bool:
        """Whether a trial that was to end here had been marked as failed by another process."""

    @abstractmethod
    def done_with(self, trial: optuna.Trial) -> None:
        """Stop the heartbeats of a trial, however it ended."""


def storage_of(study: optuna.Study) -> Any:
    """The study's storage itself, without Optuna's cache of trials in front of it."""
    storage: Any = study._storage
    return getattr(storage, "_backend", storage)
