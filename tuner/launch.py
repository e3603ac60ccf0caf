"""What ``tuner run`` and ``tuner show`` print around the work itself."""

from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from tuner.errors import UnreachedError
from tuner.report.progress import Display
from tuner.report.table import front_table, losses, remarks
from tuner.search import record
from tuner.search.goal import Goal
from tuner.search.limits import Limits
from tuner.search.record import Result
from tuner.session import Outcome, Session
from tuner.spec import StudySpec


def run_all(specs: list[StudySpec], console: Console, pictures: Path | None) -> None:
    """Run studies one after another; raises `UnreachedError` where a goal was not reached."""
    session = Session(pictures)
    missed: list[str] = []
    for spec in specs:
        goal = Goal.of(spec)
        trials = "every point" if spec.trials is None else f"at most {spec.trials} trials"
        console.print(f"[bold]{spec.triple}[/bold]  {goal}, {trials}")
        with Display(console, goal, spec.trials, spec.num_samples) as display:
            outcome = session.run(spec, display, display.baseline_went_on)
        _print_outcome(outcome, console)
        if outcome.best is None:
            missed.append(_why_missed(outcome))
    if missed:
        raise UnreachedError("; ".join(missed))


def show(studies: list[optuna.Study], console: Console) -> None:
    """Print the front of each study."""
    for study in studies:
        limits = Limits.of_request(study.user_attrs.get("request", {}))
        results = record.results(study)
        title = f"{study.study_name}: Pareto front"
        console.print(front_table(record.front(results, limits), limits, title))
        _print_remarks(results, console)


def _print_outcome(outcome: Outcome, console: Console) -> None:
    baseline: dict[str, Any] = outcome.study.user_attrs["baseline"]
    console.print(
        f"baseline {baseline['latency_s']:.3f} s per image, score {baseline['score']:.2f} "
        f"over {baseline['num_samples']} prompts",
        highlight=False,
    )
    name = outcome.study.study_name
    console.print(front_table(outcome.front, outcome.goal.limits, f"{name}: Pareto front"))
    _print_remarks(outcome.results, console)
    best = outcome.best
    if best is not None:
        console.print(
            f"fastest with a {outcome.goal}: {best.setting}, {best.speedup.value:.2f}× "
            f"({best.latency_s:.3f} s per image), score loss {best.score_loss.value:.2%}"
            f"{'' if best.verified is None else ', verified'}",
            highlight=False,
        )


def _print_remarks(results: list[Result], console: Console) -> None:
    for line in remarks(results):
        console.print(line, style="dim", highlight=False)


def _why_missed(outcome: Outcome) -> str:
    found = [one for one in outcome.results if one.setting.accelerators]
    name = outcome.study.study_name
    if not found:
        return f"{name}: no trial was completed; `tuner show` and the trials' reasons tell more"
    fastest = record.best(found, outcome.goal.limits)
    if fastest is None:
        limits = outcome.goal.limits
        closest = min(found, key=lambda one: (len(one.missed(limits)), one.score_loss.value))
        return (
            f"{name}: no setting has a {limits}; the closest is "
            f"{closest.setting} with {losses(closest)}"
        )
    return (
        f"{name}: no setting reached {outcome.goal}; the fastest within the limits is "
        f"{fastest.setting} with {fastest.speedup.value:.2f}× ({fastest.latency_s:.3f} s)"
    )
