"""What the terminal shows of the plain pipeline with fewer steps, beside a study's front."""

from collections.abc import Sequence

import optuna
from rich.console import Console
from rich.table import Table

from tuner import registry
from tuner.cli.tables import interval
from tuner.limits import Limits
from tuner.study.fewer_steps import fewer_steps_sentence
from tuner.study.reference import ReferenceRow, read_reference
from tuner.study.results import Result
from tuner.study.verdicts import ELSEWHERE


def print_reference(
    study: optuna.Study, results: Sequence[Result], limits: Limits, console: Console
) -> None:
    """Print the reference rows, and what acceleration buys over them; nothing where none exist.

    `results` are those whose accelerators were requested.
    """
    rows = read_reference(study)
    if not rows:
        return
    title = f"{study.study_name}: the plain pipeline with fewer steps"
    console.print(reference_table(rows, limits, title))
    steps = study.user_attrs["request"]["steps"]
    sentence = fewer_steps_sentence(results, rows, limits, steps)
    if sentence is not None:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def reference_table(rows: Sequence[ReferenceRow], limits: Limits, title: str) -> Table:
    """The reference rows, slowest first; those over a limit are dimmed."""
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("steps", justify="right")
    table.add_column("speedup (95 %)", justify="right", no_wrap=True)
    table.add_column("latency", justify="right")
    table.add_column("score loss (95 %)", justify="right", no_wrap=True)
    metrics = list(dict.fromkeys(name for row in rows for name in row.fidelity))
    for name in metrics:
        figure = registry.get("metrics", name).figure
        table.add_column(f"{figure} (95 %)", justify="right", no_wrap=True)
    table.add_column("verdict")
    for row in rows:
        loss, missed = row.score_loss, limits.missed(row.score_loss.value, row.fidelity)
        table.add_row(
            str(row.steps),
            f"{row.speedup.value:.2f}× ({row.speedup.low:.2f} … {row.speedup.high:.2f})",
            f"{row.latency_s:.3f} s",
            f"{loss.value:.2%} ({loss.low:.1%} … {loss.high:.1%})",
            *(interval(row.fidelity[name]) for name in metrics),
            _verdict(row, missed, limits),
            style="dim" if missed else "",
        )
    return table


def _verdict(row: ReferenceRow, missed: list[str], limits: Limits) -> str:
    """Whether a row is within the limits, how certain that is, and what its timing lacks."""
    if limits.others:
        text = f"misses the limit of {', '.join(missed)}" if missed else "within the limits"
    else:
        text = "over the limit" if missed else "under the limit"
    parts = [f"{text}, {limits.certainty(row.score_loss, row.fidelity)}"]
    if row.unsteady is not None:
        parts.append("unsteady timing")
    if not row.current:
        parts.append(ELSEWHERE)
    return "; ".join(parts)
