"""What a run does about the running trials of others: it gives up the dead, and waits for the rest.

Only where there is nothing else to begin is another run's trial waited for: were it lost, the study
would lack its setting.
"""

from collections.abc import Callable
from time import monotonic, sleep

import optuna

from tuner.storage.recovery import BEAT_S, Liveness, Running

POLL_S = 0.5  # between two looks at the trials that are waited for


class Upkeep:
    """Looks after the trials that others run; `notice` is told for whom is waited."""

    def __init__(
        self, study: optuna.Study, liveness: Liveness, notice: Callable[[str], None]
    ) -> None:
        self._study, self._liveness, self._notice = study, liveness, notice
        self._next = 0.0
        self._told: set[int] = set()

    def bury(self) -> None:
        """Give up dead trials, and queue them again; no more often than hearts beat."""
        if monotonic() >= self._next:
            self._liveness.bury(self._study)
            self._next = monotonic() + BEAT_S

    def wait(self) -> None:
        """Wait a moment for what others run; the first time in words."""
        others = self._liveness.running(self._study)
        new = [one for one in others if one.trial.number not in self._told]
        if new:
            self._told |= {one.trial.number for one in new}
            self._notice(f"waiting for {_names(new)}: {_end(new)}")
        sleep(POLL_S)
        self._next = 0.0

    def leave(self) -> None:
        """Say what is not waited for any longer, where there is something."""
        others = self._liveness.running(self._study)
        if others:
            self._notice(f"not measured yet: {_names(others)}; the same command continues")


def _names(others: list[Running]) -> str:
    return ", ".join(map(str, others))


def _end(others: list[Running]) -> str:
    left = max(one.left_s for one in others)
    what = "it is" if len(others) == 1 else "they are"
    return f"without a sign of life {what} given up in {left:.0f} s and measured here"
