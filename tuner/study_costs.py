"""Storing what a run costs while it runs, so that a kill loses no more than its last seconds."""

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from tuner.measure.account import Ledger, Purpose
from tuner.search.runner.observer import Observer
from tuner.study.recording import store_cost, store_cost_so_far

EVERY_S = 10.0  # how often costs are stored that a kill would lose


@dataclass(kw_only=True)
class RunCosts(Observer):
    """The costs of one run of a study; `name` is the run's in the study."""

    study: optuna.Study
    name: str
    ledger: Ledger
    _next_s: float = field(default=0.0, init=False)
    _next_of_trial_s: float = field(default=0.0, init=False)

    def store(self) -> None:
        """Store what the run has spent on no trial."""
        store_cost(self.study, self.name, self.ledger.own())
        self._next_s = monotonic() + EVERY_S

    def waited(self, seconds: float) -> None:
        """Waiting for other runs is a purpose of its own."""
        self.ledger.add(Purpose.WAITING, seconds)

    def baseline_progress(self, done: int, batches: int) -> None:
        """The baseline belongs to no trial."""
        self._store_seldom()

    def verification_went_on(self, setting: Any, measured: Any) -> None:
        """A verification belongs to no trial."""
        self._store_seldom()

    def trial_stored(self, trial: FrozenTrial) -> None:
        """What passed between two trials belongs to neither."""
        self._store_seldom()

    def trial_began(self, number: int, setting: Any) -> None:
        """What a trial costs is stored at its end; before that, only if it takes long."""
        self._next_of_trial_s = monotonic() + EVERY_S

    def trial_went_on(self, number: int, measured: Any) -> None:
        """Store what a trial has cost so far."""
        spent = self.ledger.trial_so_far()
        if spent is not None and monotonic() >= self._next_of_trial_s:
            store_cost_so_far(self.study, number, spent)
            self._next_of_trial_s = monotonic() + EVERY_S

    def _store_seldom(self) -> None:
        if monotonic() >= self._next_s:
            self.store()
