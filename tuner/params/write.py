"""`search_params.json`: what a study found, in the form that a pipeline applies."""

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
from tuner.search.goal import Goal
from tuner.study.baseline import BASELINE, attributes
from tuner.study.results import Result, Verification, fastest_feasible, pareto_front, read_results

SCHEMA = Path(__file__).with_name("search_params.schema.json")
FIGURES = (  # of a baseline
    "latency_s",
    "latency_key",
    "denoising_s",
    "score",
    "num_samples",
    "memory_gib",
    "host_memory_gib",
)


def has_baseline(study: optuna.Study) -> bool:
    """Whether a study came as far as its baseline, without which it has nothing to tell."""
    return "score" in study.user_attrs.get(BASELINE, {})


def having_baseline(
    studies: list[optuna.Study], say: Callable[[str], None], *, named: bool
) -> list[optuna.Study]:
    """The studies that have a baseline; of each other one, `say` is told in a line.

    Raises `UsageError` where a study that was `named` has none, or none has one.
    """
    found = [one for one in studies if has_baseline(one)]
    lacking = [_no_baseline(one) for one in studies if not has_baseline(one)]
    if lacking and (named or not found):
        raise UsageError(lacking[0])
    for line in lacking:
        say(f"left out: {line}")
    return found


def _no_baseline(study: optuna.Study) -> str:
    return f"the study {study.study_name!r} has no baseline yet; `tuner run` makes it"


def document(studies: list[optuna.Study]) -> dict[str, Any]:
    """The whole file for these studies."""
    return {"schema": 1, "studies": {one.study_name: entry(one) for one in studies}}


def entry(study: optuna.Study) -> dict[str, Any]:
    """One study: what it was, its baseline, its best points and its front."""
    kept = attributes(study)
    if not has_baseline(study):
        raise UsageError(_no_baseline(study))
    asked = kept["request"]
    goal = Goal.of_request(asked)
    limits = goal.limits
    measured = goal.admitted(read_results(study, kept))
    found = [one for one in measured if one.setting.accelerators]
    combinations: dict[str, list[Result]] = {}
    for one in found:
        combinations.setdefault(one.setting.combination, []).append(one)
    best_of = {name: fastest_feasible(many, limits) for name, many in sorted(combinations.items())}
    best = fastest_feasible(found, limits)
    return {
        "pipe": asked["pipe"],
        "sched": asked["sched"],
        "steps": asked["steps"],
        "pipeline": kept["pipeline"],
        "evaluation": kept["evaluation"],
        "versions": kept["versions"],
        **{name: asked[name] for name in ("prompts", "model") if asked.get(name)},
        "baseline": {k: v for k, v in kept[BASELINE].items() if k in FIGURES},
        "goal": {
            **{name: asked[name] for name in ("req_score_loss", "req_speedup", "req_time")},
            "limits": dict(limits.others),
        },
        "best": None if best is None else point(best, limits),
        "by_combination": {k: point(v, limits) for k, v in best_of.items() if v is not None},
        "pareto": [point(one, limits) for one in pareto_front(found, limits)],
    }


def point(result: Result, limits: Limits) -> dict[str, Any]:
    """One result, as the schema has it."""
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


def _verified(again: Verification) -> dict[str, Any]:
    return second(again, again.latency_s) | _where(again)


def second(again: Verification | Measurement, latency_s: float) -> dict[str, Any]:
    """A second measurement, as the schema has it; with its latency, which is the baseline's."""
    return {
        "speedup": again.speedup.value,
        "speedup_ci": _interval(again.speedup.low, again.speedup.high),
        "score_loss": again.score_loss.value,
        "score_loss_ci": _interval(again.score_loss.low, again.score_loss.high),
        "latency_s": latency_s,
        "score": again.score,
        "fidelity": _fidelity(again),
        "num_samples": again.prompts,
        **({} if again.unsteady is None else {"unsteady": again.unsteady}),
    }


def _optional(result: Result) -> dict[str, Any]:
    """What older studies do not tell, and most need not."""
    found: dict[str, Any] = _where(result)
    if result.denoising is not None:
        known = result.denoising_s is not None
        found["denoising"] = {
            **({"latency_s": result.denoising_s} if known else {}),
            "speedup": result.denoising.value,
            "speedup_ci": _interval(result.denoising.low, result.denoising.high),
        }
    if result.unsteady is not None:
        found["unsteady"] = result.unsteady
    if result.failed_again is not None:
        found["failed_again"] = result.failed_again
    return found


def _where(measured: Result | Verification) -> dict[str, Any]:
    """That it was timed elsewhere than the baseline, where it was."""
    return {} if measured.current else {"timed_elsewhere": True}


def _fidelity(measured: Result | Verification | Measurement) -> dict[str, Any]:
    return {
        name: {"value": one.value, "ci": _interval(one.low, one.high)}
        for name, one in measured.fidelity.items()
    }


def write(path: Path, contents: dict[str, Any]) -> None:
    """Write the file in one go: a reader sees the old one or the new one, never half of it.

    Raises `UsageError` where the folder cannot be written to.
    """
    part: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        part = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(contents, file, indent=2)
            file.write("\n")
        part.chmod(0o644)
        part.replace(path)
    except BaseException as error:
        if part is not None:
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(
                f"cannot write {path}: {error.strerror}; give -o another place"
            ) from error
        raise


def _interval(low: float, high: float) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in (low, high)]
