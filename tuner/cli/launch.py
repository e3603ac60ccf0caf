"""The search of `tuner run`, and what is printed before and after it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tuner.cli.answer import answer
from tuner.cli.events import Events, JsonLines
from tuner.cli.lines import TrialLines
from tuner.cli.live import STOPPING, live_view
from tuner.cli.printing import print_lines
from tuner.cli.reference import print_reference
from tuner.cli.run_state import RunState
from tuner.cli.tables import front_table, remarks
from tuner.errors import TunerError, UnreachedError
from tuner.formatting import seconds
from tuner.outcome import Outcome
from tuner.passwords import hidden
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer, Observers
from tuner.search.runner.progress import is_done
from tuner.session import Session
from tuner.spec import StudySpec
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
) -> None:
    """Run studies one after another.

    Args:
        specs: the studies.
        console: where progress and results are printed.
        pictures: folder for sample images; None keeps none.
        lines: where events are written; None writes none.
        allow_pickle: as in `tuner.load`.

    Raises:
        UnreachedError: after the last study, if one of them did not reach its goal.
    """
    session = Session(pictures, allow_pickle=allow_pickle)
    places = dict.fromkeys(hidden(spec.storage) for spec in specs)
    print_lines([f"results are stored in {', '.join(places)}, {_pictures_text(pictures)}"], console)
    unreached: list[str] = []
    for spec in specs:
        goal = Goal.of(spec)
        trials = "all points" if spec.trials is None else f"at most {spec.trials} trials"
        title = Text.assemble((spec.triple, "bold"), f": goal: {goal}; {trials}")
        console.print(title, highlight=False)
        events = None if lines is None else Events(lines, spec)
        with _errors_as_events(events):
            outcome = _run(session, spec, console, events)
        sentences = answer(outcome.study, outcome.goal)
        _print_outcome(outcome, console)
        if outcome.best is None:
            unreached.append(f"{outcome.study.study_name}: {'; '.join(sentences)}")
        else:
            print_lines(sentences, console)
        if events is not None:
            reached = "not reached" if outcome.best is None else "reached"
            events.finished(reached, "; ".join(sentences))
    if unreached:
        raise UnreachedError("; ".join(unreached))


def _pictures_text(pictures: Path | None) -> str:
    return "pictures are not kept" if pictures is None else f"pictures in {pictures}/"


def _run(session: Session, spec: StudySpec, console: Console, events: Events | None) -> Outcome:
    """Run a study under the eyes of all observers; after Ctrl-C print what is known."""
    state = RunState(spec)
    observers: list[Observer] = [state, TrialLines(console, state.goal)]
    if not console.is_terminal:
        observers.append(StoppingLine())
    if events is not None:
        observers.append(events)
    try:
        with live_view(state, console):
            return session.run(spec, Observers(observers))
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
def _errors_as_events(events: Events | None) -> Iterator[None]:
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
    console.print(front_table(outcome.front, outcome.goal.limits, f"{name}: Pareto front"))
    print_lines(remarks(outcome.results), console, style="dim")
    goal = outcome.goal
    print_reference(outcome.study, goal.admitted(outcome.results), goal.limits, console)
