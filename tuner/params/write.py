"""Writing `search_params.json`: the results of studies, in the form that a pipeline applies."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from tuner.errors import UsageError
from tuner.limits import Limits
from tuner.measure.measurement import Measurement
from tuner.params import schema
from tuner.search.goal import Goal
from tuner.study.baseline import BASELINE, attributes
from tuner.study.results import Result, Verification, fastest_feasible, pareto_front, read_results


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


def document(studies: list[optuna.Study]) -> dict[str, Any]:
    """The contents of a file with these studies."""
    return {
        "schema": schema.VERSION,
        "studies": {study.study_name: entry(study) for study in studies},
    }


def entry(study: optuna.Study) -> dict[str, Any]:
    """A study in the file: its conditions, its baseline, its best settings and its front.

    Results with accelerators that the last request excluded are left out. Raises `UsageError` if
    the study has no baseline.
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
    combinations: dict[str, list[Result]] = {}
    for result in results:
        combinations.setdefault(result.setting.combination, []).append(result)
    best_of = {
        name: fastest_feasible(group, limits) for name, group in sorted(combinations.items())
    }
    best = fastest_feasible(results, limits)
    return {
        "pipe": request["pipe"],
        "sched": request["sched"],
        "steps": request["steps"],
        "pipeline": stored["pipeline"],
        "evaluation": stored["evaluation"],
        "versions": stored["versions"],
        **{name: request[name] for name in ("prompts", "model") if request.get(name)},
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
        "by_combination": {
            name: point(result, limits) for name, result in best_of.items() if result is not None
        },
        "pareto": [point(result, limits) for result in pareto_front(results, limits)],
    }


def point(result: Result, limits: Limits) -> dict[str, Any]:
    """A result in the file."""
    return {
        "params": result.setting.params,
        "latency_s": result.latency_s,
        "speedup": result.speedup.value,
        "speedup_ci": _interval(result.speedup.low, result.speedup.high),
        "score": result.score,
        "score_loss": result.score_loss.value,
        "score_loss_ci": _interval(result.score_loss.low, result.score_loss.high),
        "feasible": result.feasible(limits),
        "fidelity": _fidelity(result),
        "memory_gib": result.memory.device,
        "host_memory_gib": result.memory.host,
        "num_samples": result.prompts,
        "certainty": result.certainty(limits),
        **_optional(result),
        "verified": None if result.verified is None else _verified(result.verified),
        "trial": result.trial,
    }


def _verified(verification: Verification) -> dict[str, Any]:
    return verified_entry(verification, verification.latency_s) | _elsewhere(verification)


def verified_entry(figures: Verification | Measurement, latency_s: float) -> dict[str, Any]:
    """A verification in the file, with its latency in seconds per image."""
    return {
        "speedup": figures.speedup.value,
        "speedup_ci": _interval(figures.speedup.low, figures.speedup.high),
        "score_loss": figures.score_loss.value,
        "score_loss_ci": _interval(figures.score_loss.low, figures.score_loss.high),
        "latency_s": latency_s,
        "score": figures.score,
        "fidelity": _fidelity(figures),
        "num_samples": figures.prompts,
        **({} if figures.unsteady is None else {"unsteady": figures.unsteady}),
    }


def _optional(result: Result) -> dict[str, Any]:
    """The keys that most results, or results of older versions, do not have."""
    optional: dict[str, Any] = _elsewhere(result)
    if result.denoising is not None:
        latency = {} if result.denoising_s is None else {"latency_s": result.denoising_s}
        optional["denoising"] = {
            **latency,
            "speedup": result.denoising.value,
            "speedup_ci": _interval(result.denoising.low, result.denoising.high),
        }
    if result.unsteady is not None:
        optional["unsteady"] = result.unsteady
    if result.failed_again is not None:
        optional["failed_again"] = result.failed_again
    return optional


def _elsewhere(figures: Result | Verification) -> dict[str, Any]:
    """The mark of a timing on another machine or with other versions than the baseline."""
    return {} if figures.current else {"timed_elsewhere": True}


def _fidelity(figures: Result | Verification | Measurement) -> dict[str, Any]:
    return {
        name: {"value": estimate.value, "ci": _interval(estimate.low, estimate.high)}
        for name, estimate in figures.fidelity.items()
    }


def write(path: Path, contents: dict[str, Any]) -> None:
    """Write the file atomically: a reader sees the old contents or the new ones.

    Raises `UsageError` if the file cannot be written.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(contents, file, indent=2)
            file.write("\n")
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


def _interval(low: float, high: float) -> list[float | None]:
    """Both ends; an infinite end is None, because JSON has no infinity."""
    return [value if math.isfinite(value) else None for value in (low, high)]
