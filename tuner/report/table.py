"""Tables for the terminal."""

from collections import defaultdict

from rich.table import Table

from tuner.search.record import Result
from tuner.setting import Setting


def front_table(front: list[Result], limit: float, title: str) -> Table:
    """The Pareto front, slowest first; what is over the limit is dimmed."""
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("trial", justify="right")
    table.add_column("setting")
    table.add_column("speedup", justify="right")
    table.add_column("latency", justify="right")
    table.add_column("score loss (95 %)", justify="right", no_wrap=True)
    table.add_column("")
    for one in front:
        loss = one.score_loss
        table.add_row(
            str(one.trial),
            str(one.setting),
            f"{one.speedup.value:.2f}×",
            f"{one.latency_s:.3f} s",
            f"{loss.value:.2%} ({loss.low:.1%} … {loss.high:.1%})",
            verdict(one, limit),
            style="" if one.feasible(limit) else "dim",
        )
    return table


def verdict(result: Result, limit: float) -> str:
    """How sure it is, from the interval, that a result is under the limit or over it."""
    if not result.setting.accelerators:
        return ""
    word = "under the limit" if result.feasible(limit) else "over the limit"
    sure = result.score_loss.high < limit or result.score_loss.low >= limit
    return word if sure else f"{word}, unsure"


def remarks(results: list[Result]) -> list[str]:
    """One line for each note on the results: which settings changed nothing or were slower."""
    noted: dict[str, dict[Setting, Result]] = defaultdict(dict)
    for one in results:
        if one.note is not None and one.setting.accelerators:
            noted[one.note].setdefault(one.setting, one)
    lines = []
    for note, found in noted.items():
        shown = [f"{one.setting} ({one.speedup.value:.2f}×)" for one in found.values()]
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        lines.append(f"{note}: {', '.join(shown[:3])}{more}")
    return lines
