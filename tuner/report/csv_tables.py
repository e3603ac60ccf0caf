"""The numbers of the report as tables for other programs, one dictionary for each row."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate
from tuner.report.content import StudyContent
from tuner.report.tried import Trial
from tuner.setting import Setting
from tuner.study.formatting import quantities_of

Row = Mapping[str, Any]
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what formulas of spreadsheets begin with


def tables(contents: Sequence[StudyContent]) -> dict[str, list[Row]]:
    """The tables by name; each row begins with the name of its study."""
    rows = {
        "studies": _study,
        "trials": trial_rows,
        "combinations": _combinations,
        "fewer_steps": _fewer_steps,
        "importance": _importance,
        "costs": _costs,
    }
    return {
        name: [{"study": content.name} | dict(row) for content in contents for row in make(content)]
        for name, make in rows.items()
    }


def csv_text(rows: Sequence[Row]) -> str:
    """A table as CSV; what a row lacks, and what is infinite, is empty.

    No cell is a formula.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["study"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writerow({name: _cell(name) for name in columns})
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value that no spreadsheet computes: a text that looks like a formula begins with a quote.

    A study, a device and the reason of a failure are named by whoever wrote the database.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def trial_rows(content: StudyContent) -> Iterator[Row]:
    """Every trial that has ended, with the values of its knobs."""
    front = {result.trial for result in content.front}
    for trial in content.trials:
        yield {
            "trial": trial.number,
            "state": trial.state,
            "setting": "" if trial.setting is None else str(trial.setting),
            **_trial_figures(trial),
            "feasible": trial.feasible,
            "on_front": trial.number in front,
            "outcome": trial.outcome,
            **({} if trial.setting is None else _knobs(trial.setting)),
        }


def _trial_figures(trial: Trial) -> dict[str, Any]:
    result = trial.result
    if result is None:
        return {}
    second = result.verified
    return {
        **_figures(result),
        "latency_s": result.latency_s,
        "speedup_from": result.speedup_from or "pairs",
        **({} if second is None else {f"verified_{k}": v for k, v in _figures(second).items()}),
    }


def _figures(figures: Figures) -> dict[str, Any]:
    row: dict[str, Any] = {"prompts": figures.prompts}
    named = {"speedup": figures.speedup, "score_loss": figures.score_loss} | dict(figures.fidelity)
    quantities = {quantity.key: value for quantity, value in quantities_of(figures)}
    for name, value in (named | quantities).items():
        row |= _estimate(name, value) if isinstance(value, Estimate) else {name: value}
    return row


def _estimate(name: str, estimate: Estimate) -> dict[str, Any]:
    ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
    return {f"{name}{end}": value if isfinite(value) else "" for end, value in ends.items()}


def _knobs(setting: Setting) -> dict[str, Any]:
    return {
        f"{accelerator}.{knob}": value
        for accelerator, values in setting.params.items()
        for knob, value in values.items()
    }


def _study(content: StudyContent) -> Iterator[Row]:
    best = content.best
    yield {
        "goal": str(content.goal),
        "best": "" if best is None else str(best.setting),
        **({} if best is None else {"trial": best.trial} | _figures(best)),
        **({} if best is None else {"latency_s": best.latency_s, "verified": best.verified_now}),
        "baseline_latency_s": content.baseline.get("latency_s"),
        "baseline_score": content.baseline.get("score"),
        "trials": len(content.trials),
        "cost_s": content.costs.total.total_s,
        "cost_pictures": sum(content.costs.total.pictures.values()),
    }


def _combinations(content: StudyContent) -> Iterator[Row]:
    for combination in content.combinations:
        best = combination.best
        yield {
            "combination": combination.name,
            "settings": combination.settings,
            "best": "" if best is None else str(best.setting),
            **({} if best is None else {"trial": best.trial} | _figures(best)),
        }


def _fewer_steps(content: StudyContent) -> Iterator[Row]:
    for row in content.references:
        speed = {"latency_s": row.latency_s, "speedup_from": row.speedup_from or "pairs"}
        yield {"steps": row.steps, **_figures(row), **speed}


def _importance(content: StudyContent) -> Iterator[Row]:
    shares = content.importance.shares
    for knob in content.importance.knobs:
        yield {"knob": knob, **{name: share.get(knob, 0.0) for name, share in shares.items()}}


def _costs(content: StudyContent) -> Iterator[Row]:
    total = content.costs.total
    for purpose, spent in total.seconds.items():
        pictures = total.pictures.get(purpose, 0)
        yield {"purpose": purpose.value, "seconds": spent, "pictures": pictures}
