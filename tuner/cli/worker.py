"""`tuner worker`: works on studies that other workers search too, and prints plain lines."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial
from rich.console import Console

from tuner.cli.answer import answer
from tuner.cli.launch import StoppingLine, print_goal, print_places, what_is_known
from tuner.cli.lines import TrialLines
from tuner.cli.printing import print_lines
from tuner.cli.run_state import RunState
from tuner.cli.sweep import unreached
from tuner.errors import UnreachedError
from tuner.fleet.reach import network_warning
from tuner.fleet.worker import work_on
from tuner.formatting import count
from tuner.search.runner.interrupt import terminable
from tuner.search.runner.observer import Observer, Observers
from tuner.session import Session
from tuner.spec import StudySpec
from tuner.storage.database import Storage


class Measured(Observer):
    """Counts the trials that this worker ran."""

    trials = 0

    def trial_stored(self, trial: FrozenTrial) -> None:
        """One more."""
        self.trials += 1


def run_worker(
    specs: Sequence[StudySpec], console: Console, pictures: Path | None, *, allow_pickle: bool
) -> None:
    """Work on studies until all of them are done.

    Args:
        specs: the studies.
        console: where lines are printed.
        pictures: folder for pictures; None keeps none.
        allow_pickle: as in `tuner.load`.

    Raises:
        UnreachedError: after the last study, if one of them did not reach its goal.
    """
    me = f"this worker (process {os.getpid()} on {socket.gethostname()})"
    print_places(list(specs), pictures, console)
    warnings = {network_warning(spec.storage) for spec in specs} - {None}
    print_lines([str(warning) for warning in warnings], console)
    measured, current = Measured(), RunState(specs[0])

    def observer(spec: StudySpec) -> Observer:
        nonlocal current
        print_goal(spec, console)
        current = RunState(spec)
        lines = TrialLines(console, current.goal)
        return Observers([current, measured, lines, StoppingLine()])

    session = Session(pictures, allow_pickle=allow_pickle)
    missed: dict[str, str] = {}
    try:
        with terminable():
            over = work_on(
                specs, session, observer, notice=lambda line: print_lines([line], console)
            )
            for _, outcome in over:
                name = outcome.study.study_name
                sentences = answer(outcome.study, outcome.goal)
                print_lines([f"{name} is done: {'; '.join(sentences)}"], console)
                if outcome.best is None:
                    missed[name] = f"{name}: {'; '.join(sentences)}"
    except KeyboardInterrupt:
        trials = count(measured.trials, "trial")
        stopped = f"{me} was stopped after {trials}; a trial that was running is queued again"
        print_lines([*what_is_known(current), stopped], console)
        raise
    studies, trials = count(len(specs), "study", "studies"), count(measured.trials, "trial")
    print_lines([f"{me} is done: {studies}, {trials} measured here"], console)
    missed = unreached(specs, Storage(specs[0].storage), missed)
    if missed:
        raise UnreachedError("; ".join(missed.values()))
