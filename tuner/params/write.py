"""Writing `search_params.json`: the results of studies, in the form that a pipeline applies."""

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna

from tuner.errors import UsageError
from tuner.given_files import json_text, parsed_json
from tuner.limits import Limits
from tuner.measure.figures import Figures
from tuner.params import schema
from tuner.picking import checked, names_a_trial
from tuner.scheduler_table import options_of
from tuner.search.goal import Goal
from tuner.size import Size
from tuner.study.baseline import BASELINE, PARTS, attributes
from tuner.study.best import pareto_front
from tuner.study.offered import group_by_combination
from tuner.study.picked import picked_result
from tuner.study.reference import ReferenceRow, read_reference
from tuner.study.results import Result, Verification, read_results
from tuner.study.schema import MEMORY, attributes_of

FILE_KEYS = {"prompts": "num_samples"}  # of figures that the file names differently
MEMORY_KEYS = tuple(MEMORY.values())
ELSEWHERE_IN_FILE = ("latency_key", "denoising")  # with the baseline; with its latency


def has_baseline(study: optuna.Study) -> bool:
    """Whether a study's baseline was measured, without which it has no results."""
    return "score" in study.user_attrs.get(BASELINE, {})


def studies_with_baseline(
    studies: list[optuna.Study], report: Callable[[str], None], *, required: bool
) -> list[optuna.Study]:
    """The studies that have a baseline.

    Args:
        studies: any studies.
        report: called with a line for each study that is left out.
        required: whether every study must have a baseline.

    Raises:
        UsageError: a baseline that is `required` is missing, or no study has one.
    """
    complete = [study for study in studies if has_baseline(study)]
    missing = [_no_baseline(study) for study in studies if not has_baseline(study)]
    if missing and (required or not complete):
        raise UsageError(missing[0])
    for line in missing:
        report(f"left out: {line}")
    return complete


def _no_baseline(study: optuna.Study) -> str:
    return f"the study {study.study_name!r} has no baseline yet; `tuner run` measures it"


def document(studies: list[optuna.Study], pick: str | None = None) -> dict[str, Any]:
    """The contents of a file with these studies.

    Args:
        studies: each of them has a baseline.
        pick: a rule of `tuner.picking` that picks a setting of each study, which a pipeline then
            applies in place of the best.

    Raises:
        UsageError: a study has no baseline, or the rule is unknown or picks nothing in one of
            them, or names a trial of several studies.
    """
    if pick is not None and names_a_trial(pick) and len(studies) > 1:
        names = ", ".join(study.study_name for study in studies)
        raise UsageError(f"{pick!r} is a trial of one study, not of several; choose one of {names}")
    return {
        "schema": schema.VERSION,
        "studies": {study.study_name: entry(study, pick) for study in studies},
    }


def entry(study: optuna.Study, pick: str | None = None) -> dict[str, Any]:
    """A study in the file: its conditions, its baseline, its best settings and its front.

    Results with accelerators that the last request excluded are left out. Raises `UsageError` if
    the study has no baseline, or if `pick` picks no setting of it.
    """
    stored = attributes(study)
    if not has_baseline(study):
        raise UsageError(_no_baseline(study))
    request = stored["request"]
    goal = Goal.of_request(request)
    limits = goal.limits
    results = [
        result
        for result in goal.admitted(read_results(study, stored))
        if result.setting.accelerators
    ]
    rows = read_reference(study, stored)
    groups = group_by_combination(results)
    best_of = {name: goal.answer(group) for name, group in sorted(groups.items())}
    best = goal.answer(results)
    return {
        "pipe": request["pipe"],
        "sched": request["sched"],
        "steps": request["steps"],
        "pipeline": stored["pipeline"],
        "evaluation": _evaluation(stored),
        "versions": stored["versions"],
        **{name: request[name] for name in ("prompts", "model", "own") if request.get(name)},
        "baseline": {
            name: value
            for name, value in stored[BASELINE].items()
            if name in schema.baseline_figures()
        },
        "goal": {
            **{name: request[name] for name in ("req_score_loss", "req_speedup", "req_time")},
            "limits": dict(limits.others),
        },
        "best": None if best is None else point(best, limits),
        **_picked(pick, results, limits, study.study_name),
        "by_combination": {
            name: point(result, limits) for name, result in best_of.items() if result is not None
        },
        "pareto": [point(result, limits) for result in pareto_front(results, limits)],
        **({"reference": [_row(row) for row in rows]} if rows else {}),
    }


def _evaluation(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A study's conditions in the file.

    'cpu', 'cuda' or 'mps' is added as `device_type`, except in a study of an old version.
    """
    evaluation, parts = dict(stored["evaluation"]), stored.get(PARTS, {})
    size = Size.of(evaluation)
    if size is not None:
        del evaluation["resolution"]
        evaluation |= size.in_file()
    config = parts.get("scheduler", {})
    options = _scheduler_options(stored["request"]["sched"], config)
    if "own" in stored["request"]:  # the scheduler of a pipeline that the user made may have any
        options = {name: value for name, value in config.items() if name != "class"}
    if evaluation.get("guidance") is None:
        evaluation.pop("guidance", None)
    if options:
        evaluation["scheduler_options"] = options
    return evaluation | {name: parts[name] for name in ("device_type",) if name in parts}


def _scheduler_options(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """How a scheduler was configured, as far as several schedulers are of its class."""
    return {option: config[option] for option in options_of(name) if option in config}


def _picked(
    rule: str | None, results: list[Result], limits: Limits, name: str
) -> dict[str, dict[str, Any]]:
    """The picked setting and its rule in the file; nothing without a rule."""
    if rule is None:
        return {}
    result = picked_result(rule, results, limits, name)
    return {"picked": {"rule": checked(rule), "point": point(result, limits)}}


def point(result: Result, limits: Limits) -> dict[str, Any]:
    """A result in the file."""
    entry = {
        "params": result.setting.params,
        "latency_s": result.latency_s,
        **figures_entry(result),
        "feasible": result.feasible(limits),
        "certainty": result.certainty(limits),
        **_elsewhere(result),
        "verified": None if result.verified is None else _verified(result.verified),
        "trial": result.trial,
    }
    if result.denoising is not None:
        latency = {} if result.denoising_s is None else {"latency_s": result.denoising_s}
        entry["denoising"] = latency | {
            "speedup": result.denoising.value,
            "speedup_ci": _interval([result.denoising.low, result.denoising.high]),
        }
    if result.failed_again is not None:
        entry["failed_again"] = result.failed_again
    return entry


def figures_entry(figures: Figures) -> dict[str, Any]:
    """The figures of a measurement in the file, named as a trial stores them.

    A figure without a value is left out, but for the memory, which is null then.
    """
    entry = {}
    for name, value in attributes_of(figures).items():
        if name in MEMORY_KEYS or (value is not None and name not in ELSEWHERE_IN_FILE):
            entry[FILE_KEYS.get(name, name)] = _without_infinity(name, value)
    return entry


def _row(row: ReferenceRow) -> dict[str, Any]:
    """The plain pipeline with fewer steps in the file."""
    figures = figures_entry(row) | _elsewhere(row)
    return {"steps": row.steps, "latency_s": row.latency_s, **figures}


def verified_entry(figures: Figures, latency_s: float) -> dict[str, Any]:
    """A verification in the file, with its latency in seconds per image."""
    entry = figures_entry(figures) | {"latency_s": latency_s}
    return {name: value for name, value in entry.items() if name not in MEMORY_KEYS}


def _verified(verification: Verification) -> dict[str, Any]:
    return verified_entry(verification, verification.latency_s) | _elsewhere(verification)


def _elsewhere(figures: Result | Verification | ReferenceRow) -> dict[str, Any]:
    """The mark of a timing on another machine or with other versions than the baseline."""
    return {} if figures.current else {"timed_elsewhere": True}


def _without_infinity(name: str, value: Any) -> Any:
    """A stored figure; an infinite end of an interval is None, because JSON has no infinity."""
    if name == "ci" or name.endswith("_ci"):
        return _interval(value)
    if isinstance(value, Mapping):
        return {inner: _without_infinity(inner, part) for inner, part in value.items()}
    return value


def _interval(ends: Iterable[float]) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in ends]


def write(path: Path, contents: dict[str, Any]) -> None:
    """Write the file as `write_text` does; a `UsageError` as in `text_of`."""
    write_text(path, text_of(contents))


def text_of(contents: dict[str, Any]) -> str:
    """The text of the file; a `UsageError` for what `tuner.params.read` would refuse in it."""
    text = json_text(contents, indent=2)
    try:
        parsed_json(text)
    except ValueError as error:
        raise UsageError(
            f"nothing is written, because it could not be read again: {error}"
        ) from error
    return f"{text}\n"


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: a reader sees the old contents or the new ones.

    Raises `UsageError` if the file cannot be written.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        temporary = Path(name)
        # Names in a database may have halves of surrogate pairs, which are written as '?'.
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(
                f"cannot write {path}: {error.strerror}; choose another file"
            ) from error
        raise
