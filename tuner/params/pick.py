"""Which of a study's settings in a `search_params.json` is applied, verified or picked."""

from collections.abc import Iterator, Mapping
from typing import Any

from tuner.picking import LOSS, SPEEDUP, Candidate, picked
from tuner.setting import Setting

Point = dict[str, Any]  # a result in the file


def all_points(study: Mapping[str, Any]) -> Iterator[Point]:
    """Every result in a study of the file; a setting can occur several times."""
    if study["best"] is not None:
        yield study["best"]
    if "picked" in study:
        yield study["picked"]["point"]
    yield from study.get("by_combination", {}).values()
    yield from study.get("pareto", ())


def chosen_point(study: Mapping[str, Any]) -> Point | None:
    """The picked setting or else the best, which a pipeline applies; None if there is neither."""
    point: Point | None = study["picked"]["point"] if "picked" in study else study["best"]
    return point


def point_picked_by(rule: str, study: Mapping[str, Any], name: str) -> Point:
    """The point that a rule of `tuner.picking` picks from a study, which messages call `name`.

    Raises `UsageError` if the rule is unknown or picks nothing.
    """
    by_trial = {point["trial"]: point for point in all_points(study) if point["params"]}
    return picked(rule, [_candidate(point) for point in by_trial.values()], name)


def _candidate(point: Point) -> Candidate[Point]:
    measured = [point, *([point["verified"]] if point["verified"] else [])]
    return Candidate(
        item=point,
        trial=point["trial"],
        setting=str(Setting.of(point["params"])),
        feasible=point["feasible"],
        figures=[_figures(part) for part in measured],
    )


def _figures(part: Mapping[str, Any]) -> dict[str, float]:
    extra = {name: figure["value"] for name, figure in part.get("fidelity", {}).items()}
    return {SPEEDUP: part["speedup"], LOSS: part["score_loss"], **extra}
