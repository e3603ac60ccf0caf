"""The search of `tuner run`, and what is printed before and after it."""

from pathlib import Path
from typing import Any

from rich.console import Console

from tuner.cli.answer import answer
from tuner.cli.progress import Display
from tuner.cli.reference import print_reference
from tuner.cli.show import print_lines
from tuner.cli.tables import front_table, remarks
from tuner.errors import UnreachedError
from tuner.outcome import Outcome
from tuner.search.goal import Goal
from tuner.session import Session
from tuner.spec import StudySpec
from tuner.study.baseline import BASELINE, attributes


def run_all(specs: list[StudySpec], console: Console, pictures: Path | None) -> None:
    """Run studies one after another.

    Args:
        specs: the studies.
        console: where progress and results are printed.
        pictures: folder for sample images; None keeps none.

    Raises:
        UnreachedError: after the last study, if one of them did not reach its goal.
    """
    session = Session(pictures)
    unreached: list[str] = []
    for spec in specs:
        goal = Goal.of(spec)
        trials = "all points" if spec.trials is None else f"at most {spec.trials} trials"
        console.print(f"[bold]{spec.triple}[/bold]: goal: {goal}; {trials}", highlight=False)
        with Display(console, goal, spec.trials, spec.num_samples) as display:
            outcome = session.run(spec, display, display.baseline_progress)
        _print_outcome(outcome, console)
        lines = answer(outcome.study, outcome.goal)
        if outcome.best is None:
            unreached.append(f"{outcome.study.study_name}: {'; '.join(lines)}")
        else:
            print_lines(lines, console)
    if unreached:
        raise UnreachedError("; ".join(unreached))


def _print_outcome(outcome: Outcome, console: Console) -> None:
    baseline: dict[str, Any] = attributes(outcome.study)[BASELINE]
    console.print(
        f"baseline: {baseline['latency_s']:.3f} s per image, score {baseline['score']:.2f} "
        f"over {baseline['num_samples']} prompts",
        highlight=False,
    )
    name = outcome.study.study_name
    console.print(front_table(outcome.front, outcome.goal.limits, f"{name}: Pareto front"))
    print_lines(remarks(outcome.results), console, style="dim")
    goal = outcome.goal
    print_reference(outcome.study, goal.admitted(outcome.results), goal.limits, console)
