"""Storing what a run costs while it goes on, so that a kill loses only its last seconds."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock

import optuna

from tuner.measure.account import Ledger, Purpose
from tuner.search.runner.observer import Observer
from tuner.storage.beating import beating
from tuner.study.recording import store_cost

EVERY_S = 10.0  # how often the costs are stored that a kill would lose


@dataclass(kw_only=True)
class RunCosts(Observer):
    """What one run of a study has spent and stored with no trial; `name` is the run's."""

    study: optuna.Study
    name: str
    ledger: Ledger
    _lock: Lock = field(default_factory=Lock, init=False)  # so that later figures come later

    def store(self) -> None:
        """Store it; waits for the database."""
        with self._lock:
            store_cost(self.study, self.name, self.ledger.own())

    @contextmanager
    def stored_regularly(self) -> Iterator[None]:
        """For a ``with`` block, store it at the start and every `EVERY_S` seconds, in a thread."""
        self.store()
        with beating(self._store_at_once, "costs", EVERY_S):
            yield

    def waited(self, seconds: float) -> None:
        """Waiting for other runs is a purpose of its own."""
        self.ledger.add(Purpose.WAITING, seconds)

    def _store_at_once(self) -> None:
        with self._lock, suppress(KeyError):  # of a deleted study, which the next trial reports
            store_cost(self.study, self.name, self.ledger.own(), at_once=True)
