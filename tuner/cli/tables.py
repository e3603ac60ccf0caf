"""The table of a Pareto front, and remarks on single results."""

from collections import defaultdict
from collections.abc import Iterable

from rich.table import Table

from tuner import registry
from tuner.formatting import percent_with_interval, plain_with_interval, seconds, times
from tuner.limits import Limits
from tuner.setting import Setting
from tuner.study.formatting import TIMING_TITLE, known_quantities, timing
from tuner.study.results import Result
from tuner.study.verdicts import ELSEWHERE, verdict, verified_text

NAMED = 3  # settings that a remark lists by name


def front_table(front: list[Result], limits: Limits, title: str) -> Table:
    """The Pareto front, slowest setting first; infeasible settings are dimmed."""
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("trial", justify="right")
    table.add_column("setting")
    table.add_column("speedup", justify="right")
    table.add_column("latency", justify="right")
    table.add_column("score loss (95%)", justify="right", no_wrap=True)
    timed = any(timing(result) for result in front)
    quantities = known_quantities(front)
    for column in [*([TIMING_TITLE] if timed else []), *(q.title for q in quantities)]:
        table.add_column(column, justify="right", no_wrap=True)
    metrics = list(dict.fromkeys(name for result in front for name in result.fidelity))
    for name in metrics:
        figure = registry.get("metrics", name).figure
        table.add_column(f"{figure} (95%)", justify="right", no_wrap=True)
    verified = any(r.verified is not None or r.failed_again is not None for r in front)
    if verified:
        table.add_column("verification")
    table.add_column("verdict")
    for result in front:
        table.add_row(
            str(result.trial),
            str(result.setting),
            times(result.speedup.value),
            seconds(result.latency_s),
            percent_with_interval(result.score_loss),
            *([timing(result) or ""] if timed else []),
            *(quantity.text(result) for quantity in quantities),
            *(plain_with_interval(result.fidelity[name]) for name in metrics),
            *([verified_text(result)] if verified else []),
            verdict(result, limits),
            style="" if result.feasible(limits) else "dim",
        )
    return table


def remarks(results: list[Result]) -> list[str]:
    """What is unusual about results, one line each.

    First each trial with an unsteady timing; then each note of trials, such as that a setting
    changes nothing or is slower than the baseline; last the settings that were timed on another
    machine or with other versions than the baseline.
    """
    accelerated = [result for result in results if result.setting.accelerators]
    lines = [
        f"unsteady timing in trial {result.trial} ({result.setting}): {result.unsteady}"
        for result in accelerated
        if result.unsteady is not None
    ]
    by_note: dict[str, dict[Setting, Result]] = defaultdict(dict)
    for result in accelerated:
        if result.note is not None:
            by_note[result.note].setdefault(result.setting, result)
    lines += [f"{note}: {_listed(noted.values())}" for note, noted in by_note.items()]
    elsewhere = {result.setting: result for result in accelerated if not result.current}
    if elsewhere:
        lines.append(f"{ELSEWHERE} than the baseline: {_listed(elsewhere.values())}")
    return lines


def _listed(results: Iterable[Result]) -> str:
    """The first settings with their speedups, and how many more there are."""
    names = [f"{result.setting} ({times(result.speedup.value)})" for result in results]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
