"""Trials of other runs: dead ones are marked as failed, the others are waited for at the end.

Another run's trial is waited for only where nothing else is left to begin: if it were lost, the
study would lack its setting.
"""

from collections.abc import Callable
from time import monotonic, sleep

import optuna

from tuner.search.runner.observer import Observer
from tuner.storage.beating import BEAT_S
from tuner.storage.log import log_of
from tuner.storage.recovery import Running

SHARE = 20  # a question is asked again after so many times as long as its answer took
POLL_S = 0.5  # between two checks of the trials that are waited for


class OtherRuns:
    """The trials that other runs have begun; the observer is notified of those waited for."""

    def __init__(self, study: optuna.Study, observer: Observer) -> None:
        self._study, self._observer = study, observer
        self._next = 0.0  # when to look for dead trials again
        self._reported: set[int] = set()  # trials that were waited for, by number

    def fail_dead(self) -> None:
        """Mark dead trials as failed and queue them again; at most once in `BEAT_S` seconds."""
        if monotonic() >= self._next:
            log_of(self._study).fail_dead_trials()
            self._next = monotonic() + BEAT_S

    def wait(self) -> None:
        """Wait a moment for the trials of other runs; the first time, report it."""
        running = log_of(self._study).running()
        new = [trial for trial in running if trial.trial.number not in self._reported]
        if new:
            self._reported |= {trial.trial.number for trial in new}
            self._observer.notice(f"waiting for {_names(new)}: {_what_if_silent(new)}")
        self.pause()
        self._next = 0.0

    def pause(self) -> None:
        """Let the other runs go on for a moment, which measure what this one has proposed."""
        pause(self._observer)

    def report_unfinished(self) -> None:
        """Report the trials of other runs that this run does not wait for, if there are any."""
        running = log_of(self._study).running()
        if running:
            self._observer.notice(
                f"still running in other processes: {_names(running)}; "
                "the same command continues the study"
            )


def pause(observer: Observer) -> None:
    """Wait a moment for other runs."""
    began = monotonic()
    try:
        sleep(POLL_S)
    finally:
        observer.waited(monotonic() - began)


class Seldom:
    """Asks a question whose answer takes long for at most a twentieth of the time."""

    def __init__(self, question: Callable[[], bool]) -> None:
        self._question = question
        self._next = 0.0  # when to ask again

    def is_true(self) -> bool:
        """The answer; False while it is too early to ask again."""
        began = monotonic()
        if began < self._next:
            return False
        answer = self._question()
        ended = monotonic()
        self._next = ended + SHARE * (ended - began)
        return answer


def _names(running: list[Running]) -> str:
    return ", ".join(map(str, running))


def _what_if_silent(running: list[Running]) -> str:
    left_s = max(trial.left_s for trial in running)
    subject = "it is" if len(running) == 1 else "they are"
    return (
        f"after another {left_s:.0f} s without a heartbeat {subject} marked as failed and "
        "measured by this run"
    )
