"""Tables for the terminal."""

from rich.table import Table

from tuner.search.record import Result


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
