"""The search of `tuner run`, and what is printed before and after it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console
from rich.text import Text

from tuner.cli.answer import answer
from tuner.cli.events import Events, JsonLines, study_complete
from tuner.cli.lines import TrialLines
from tuner.cli.live import STOPPING, live_view
from tuner.cli.printing import print_lines
from tuner.cli.reference import print_reference
from tuner.cli.run_state import RunState
from tuner.cli.sweep import EndFiles, end_run, studies_of, unreached
from tuner.cli.sweep_progress import SweepProgress, SweepWatch
from tuner.cli.tables import front_table, remarks
from tuner.errors import TunerError, about
from tuner.fleet.assignment import assigned
from tuner.fleet.worker import until_over
from tuner.formatting import count, seconds
from tuner.outcome import Outcome
from tuner.passwords import hidden
from tuner.search.goal import Goal
from tuner.search.runner.interrupt import terminable
from tuner.search.runner.observer import Observer, Observers
from tuner.search.runner.progress import is_done
from tuner.session import Session
from tuner.shared_run import SharedRun
from tuner.spec import StudySpec
from tuner.storage.address import check_address
from tuner.storage.database import Storage
from tuner.study.baseline import BASELINE, attributes
from tuner.study.results import read_results, read_stopped

STANDARD_ERROR = 2  # its file descriptor


def run_all(
    specs: list[StudySpec],
    console: Console,
    pictures: Path | None,
    lines: JsonLines | None = None,
    *,
    allow_pickle: bool = False,
    files: EndFiles | None = None,
) -> None:
    """Run studies one after another, and write files about all of them at the end.

    Of several studies other processes may run some at the same time; a complete one is passed over.

    Args:
        specs: the studies, all in one database.
        console: where progress and results are printed.
        pictures: folder for sample images; None keeps none.
        lines: where events are written; None writes none.
        allow_pickle: as in `tuner.load`.
        files: what is written at the end; nothing when None.

    Raises:
        UnreachedError: at the end, if a study did not reach its goal.
    """
    files = files or EndFiles()
    files.check()
    runs = Runs(Session(pictures, allow_pickle=allow_pickle), console, lines)
    print_places(specs, pictures, console)
    one = len(specs) == 1
    with terminable(in_background=False):
        studies = [runs.run(specs[0]).study] if one else _run_sweep(specs, runs, console)
        end_run(studies, runs.unreached, files, console, None if one else lines)


def _run_sweep(specs: list[StudySpec], runs: "Runs", console: Console) -> list[optuna.Study]:
    """Run the studies that are not complete and that nobody else runs; returns all of them."""
    with about("storage"):
        check_address(specs[0].storage)
        storage = Storage(specs[0].storage)

    def say(line: str) -> None:
        print_lines([line], console)

    def on_complete(name: str, trials: int) -> None:
        say(f"{name}: complete ({count(trials, 'trial')})")
        if runs.lines is not None:
            runs.lines.write(study_complete(name, trials))

    watch = SweepWatch(specs, storage)
    over = until_over(
        specs,
        lambda left: assigned(left, storage, say, on_complete),
        lambda spec, waits: runs.run(spec, watch.progress(spec), SharedRun(waits=waits)),
    )
    try:
        for _ in over:  # each prints its own end
            pass
    except KeyboardInterrupt:
        say(watch.summary())
        raise
    say(watch.summary())
    runs.unreached = unreached(specs, storage, runs.unreached)
    return studies_of(specs, storage, runs.names)


class Runs:
    """Runs studies, with all that is printed of them.

    `names` are those of the studies that were run; `unreached` says by the name of a study why it
    did not reach its goal.
    """

    def __init__(self, session: Session, console: Console, lines: JsonLines | None) -> None:
        """`lines`: where events are written; None writes none."""
        self._session, self._console, self.lines = session, console, lines
        self.names: list[str] = []
        self.unreached: dict[str, str] = {}

    def run(
        self,
        spec: StudySpec,
        sweep: SweepProgress | None = None,
        shared: SharedRun | None = None,
    ) -> Outcome:
        """Run a study.

        `sweep` is how far the run of several studies is, `shared` what other workers share.
        """
        console, events = self._console, None
        print_goal(spec, console, sweep)
        if self.lines is not None:
            events = Events(self.lines, spec)
            if sweep is not None:
                events.studies_progress(sweep)
        with errors_as_events(events):
            outcome = _run(self._session, spec, console, events, sweep, shared)
        if not outcome.is_over:
            name = outcome.study.study_name
            print_lines([f"{name}: other workers measure what is left of it"], console)
            return outcome
        self.unreached |= print_end(outcome, console, events)
        self.names.append(outcome.study.study_name)
        return outcome


def print_end(outcome: Outcome, console: Console, events: Events | None) -> dict[str, str]:
    """Print the outcome of a study; returns by its name why its goal was not reached, if so."""
    sentences = answer(outcome.study, outcome.goal)
    _print_outcome(outcome, console)
    if outcome.best is not None:
        print_lines(sentences, console)
    if events is not None:
        reached = "not reached" if outcome.best is None else "reached"
        events.finished(reached, "; ".join(sentences))
    name = outcome.study.study_name
    return {} if outcome.best is not None else {name: f"{name}: {'; '.join(sentences)}"}


def print_goal(spec: StudySpec, console: Console, sweep: SweepProgress | None = None) -> None:
    """Print what a study is searched for, and which of several studies it is."""
    trials = "all points" if spec.trials is None else f"at most {spec.trials} trials"
    place = "" if sweep is None else f"study {sweep.number} of {sweep.of}; "
    line = f": {place}goal: {Goal.of(spec)}; {trials}"
    console.print(Text.assemble((spec.triple, "bold"), line), highlight=False)


def print_places(specs: Sequence[StudySpec], pictures: Path | None, console: Console) -> None:
    """Print where results and pictures are kept."""
    place = hidden(specs[0].storage)
    print_lines([f"results are stored in {place}, {_pictures_text(pictures)}"], console)


def _pictures_text(pictures: Path | None) -> str:
    return "pictures are not kept" if pictures is None else f"pictures in {pictures}/"


def _run(
    session: Session,
    spec: StudySpec,
    console: Console,
    events: Events | None,
    sweep: SweepProgress | None,
    shared: SharedRun | None,
) -> Outcome:
    """Run a study under the eyes of all observers; after Ctrl-C print what is known."""
    state = RunState(spec, sweep=sweep)
    observers: list[Observer] = [state, TrialLines(console, state.goal)]
    if not console.is_terminal:
        observers.append(StoppingLine())
    if events is not None:
        observers.append(events)
    try:
        with live_view(state, console):
            return session.run(spec, Observers(observers), shared)
    except KeyboardInterrupt:
        print_lines(what_is_known(state), console)
        raise


class StoppingLine(Observer):
    """Says on standard error that the run is about to stop, where there is no live view."""

    def interrupted(self) -> None:
        """Write the line past Python's buffers, which a signal handler must not use."""
        os.write(STANDARD_ERROR, f"tuner: {STOPPING}\n".encode())


def what_is_known(state: RunState) -> list[str]:
    """After an interruption: how far the run came, and the best setting or why there is none."""
    study = state.study
    if study is None:
        return [f"{state.name}: interrupted before the study was opened; nothing was measured"]
    if BASELINE not in attributes(study):
        return [f"{state.name}: interrupted before the baseline was measured"]
    is_done(study, state.spec.trials, state)  # counts the last trial too
    of = "" if state.of is None else f" of {state.of:,}"
    unit = "trials" if state.spec.sweep is None else "points"
    first = f"{state.name}: interrupted after {state.done:,}{of} {unit}"
    results = read_results(study)
    if not results and not read_stopped(study):
        return [f"{first}; no setting was measured yet"]
    lines = [first, *answer(study, state.goal)]
    best = state.goal.reached(results)
    if best is not None and not best.verified_now:
        lines.append("this setting is not verified yet: a run does that when its search has ended")
    return lines


@contextmanager
def errors_as_events(events: Events | None) -> Iterator[None]:
    """Write the last event of a study that an error or Ctrl-C ends."""
    try:
        yield
    except TunerError as error:
        if events is not None:
            events.finished("failed", " ".join(str(error).split()))
        raise
    except KeyboardInterrupt:
        if events is not None:
            events.finished("interrupted", "run the same command again to continue")
        raise


def _print_outcome(outcome: Outcome, console: Console) -> None:
    baseline: dict[str, Any] = attributes(outcome.study)[BASELINE]
    console.print(
        f"baseline: {seconds(baseline['latency_s'])} per image, score {baseline['score']:.2f} "
        f"over {baseline['num_samples']} prompts",
        highlight=False,
    )
    name = outcome.study.study_name
    goal = outcome.goal
    console.print(front_table(outcome.front, goal.limits, f"{name}: Pareto front"))
    print_lines(remarks(outcome.results), console, style="dim")
    print_reference(outcome.study, goal, outcome.results, console)
