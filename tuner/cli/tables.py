"""Tables for the terminal."""

from collections import defaultdict
from collections.abc import Iterable

from rich.table import Table

from tuner import registry
from tuner.limits import Limits
from tuner.measure.statistics import Estimate
from tuner.setting import Setting
from tuner.study.formatting import losses
from tuner.study.results import VERIFICATION, Result


def front_table(front: list[Result], limits: Limits, title: str) -> Table:
    """The Pareto front, slowest first; what is not feasible is dimmed."""
    beside = list(dict.fromkeys(name for one in front for name in one.fidelity))
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("trial", justify="right")
    table.add_column("setting")
    table.add_column("speedup", justify="right")
    table.add_column("latency", justify="right")
    table.add_column("score loss (95 %)", justify="right", no_wrap=True)
    memory = [name for name in ("device", "host") if any(getattr(r.memory, name) for r in front)]
    for name in memory:
        table.add_column(f"{name} memory", justify="right", no_wrap=True)
    for name in beside:
        figure = registry.get("metrics", name).figure
        table.add_column(f"{figure} (95 %)", justify="right", no_wrap=True)
    again = any(one.verified is not None or one.failed_again is not None for one in front)
    if again:
        table.add_column("measured again")
    table.add_column("")
    for one in front:
        loss = one.score_loss
        table.add_row(
            str(one.trial),
            str(one.setting),
            f"{one.speedup.value:.2f}×",
            f"{one.latency_s:.3f} s",
            f"{loss.value:.2%} ({loss.low:.1%} … {loss.high:.1%})",
            *(_gib(getattr(one.memory, name)) for name in memory),
            *(interval(one.fidelity[name]) for name in beside),
            *([verified_text(one)] if again else []),
            verdict(one, limits),
            style="" if one.feasible(limits) else "dim",
        )
    return table


def _gib(memory: float | None) -> str:
    return "" if memory is None else f"{memory:.2f} GiB"


def verified_text(result: Result) -> str:
    """What the second measurement of a result found; '' where there was none."""
    if result.failed_again is not None:
        return f"failed: {result.failed_again}"
    again = result.verified
    if again is None:
        return ""
    where = "" if again.current else ", timed elsewhere"
    return f"{again.speedup.value:.2f}×, {losses(again)}, {again.prompts} prompts{where}"


def interval(one: Estimate) -> str:
    """A figure beside the score, and its interval."""
    return f"{one.value:.3g} ({one.low:.3g} … {one.high:.3g})"


def verdict(result: Result, limits: Limits) -> str:
    """Whether a result is within its limits, and how sure it is from the intervals."""
    if not result.setting.accelerators:
        return ""
    words = [f"{judged(result, limits)}, {result.certainty(limits)}"]
    if result.unsteady is not None:
        words.append("unsteady")
    if not result.current:
        words.append("timed elsewhere")
    return "; ".join(words)


def judged(result: Result, limits: Limits) -> str:
    """Whether a result is within its limits, and whether only the second measurement is not."""
    missed = result.missed(limits)
    if missed == [VERIFICATION]:
        return "failed when measured again"
    if not limits.others:
        word = "over the limit" if missed else "under the limit"
    else:
        word = f"misses {', '.join(missed)}" if missed else "within the limits"
    return f"{word} when measured again" if result.overruled(limits) else word


def remarks(results: list[Result]) -> list[str]:
    """One line for each note on the results: which settings changed nothing or were slower.

    The last one names those whose speed is that of another machine or of other versions.
    """
    noted: dict[str, dict[Setting, Result]] = defaultdict(dict)
    for one in results:
        if one.note is not None and one.setting.accelerators:
            noted[one.note].setdefault(one.setting, one)
    lines = [
        f"unsteady, trial {one.trial}: {one.setting}: {one.unsteady}"
        for one in results
        if one.unsteady is not None and one.setting.accelerators
    ]
    lines += [f"{note}: {_some(found.values())}" for note, found in noted.items()]
    elsewhere = {
        one.setting: one for one in results if not one.current and one.setting.accelerators
    }
    if elsewhere:
        lines.append(
            "timed elsewhere, on another machine or with other versions than the baseline: "
            f"{_some(elsewhere.values())}"
        )
    return lines


def _some(found: Iterable[Result]) -> str:
    shown = [f"{one.setting} ({one.speedup.value:.2f}×)" for one in found]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return f"{', '.join(shown[:3])}{more}"
