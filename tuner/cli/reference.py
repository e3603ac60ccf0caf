"""What the terminal shows of the plain pipeline with fewer steps, beside a study's front."""

from collections.abc import Sequence

import optuna
from rich.console import Console
from rich.table import Table

from tuner import registry
from tuner.cli.printing import print_lines
from tuner.describe import fewer_steps_line
from tuner.formatting import (
    percent_with_interval,
    plain_with_interval,
    seconds,
    times_with_interval,
)
from tuner.limits import Limits
from tuner.search.goal import Goal
from tuner.study.formatting import TIMING_TITLE, timing
from tuner.study.reference import ReferenceRow, read_reference
from tuner.study.results import Result
from tuner.study.verdicts import reference_verdict

PREDICTED = (
    "predicted: the speedup follows from the number of steps, and one pair of batches agrees"
)


def print_reference(
    study: optuna.Study, goal: Goal, results: Sequence[Result], console: Console
) -> None:
    """Print the reference rows, and what acceleration buys over them; nothing where none exist."""
    rows = read_reference(study)
    if not rows:
        return
    title = f"{study.study_name}: the plain pipeline with fewer steps"
    console.print(reference_table(rows, goal.limits, title))
    if any(row.is_predicted for row in rows):
        print_lines([PREDICTED], console, style="dim")
    steps = study.user_attrs["request"]["steps"]
    line = fewer_steps_line(goal, results, rows, steps)
    if line is not None:
        print_lines([line], console)


def reference_table(rows: Sequence[ReferenceRow], limits: Limits, title: str) -> Table:
    """The reference rows, slowest first; those over a limit are dimmed."""
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("steps", justify="right")
    table.add_column("speedup (95%)", justify="right", no_wrap=True)
    timed = any(timing(row) for row in rows)
    if timed:
        table.add_column(TIMING_TITLE, no_wrap=True)
    table.add_column("latency", justify="right")
    table.add_column("score loss (95%)", justify="right", no_wrap=True)
    metrics = list(dict.fromkeys(name for row in rows for name in row.fidelity))
    for name in metrics:
        figure = registry.get("metrics", name).figure
        table.add_column(f"{figure} (95%)", justify="right", no_wrap=True)
    table.add_column("verdict")
    for row in rows:
        missed = limits.missed(row.score_loss.value, row.fidelity)
        table.add_row(
            str(row.steps),
            times_with_interval(row.speedup),
            *([timing(row) or ""] if timed else []),
            seconds(row.latency_s),
            percent_with_interval(row.score_loss),
            *(plain_with_interval(row.fidelity[name]) for name in metrics),
            reference_verdict(row, limits),
            style="dim" if missed else "",
        )
    return table
