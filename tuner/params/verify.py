"""Verifying a `search_params.json`: re-measuring its settings later or on another machine."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tuner.errors import UnreachedError, UsageError
from tuner.formatting import times
from tuner.limits import Limits
from tuner.loading import device_named
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.evaluation import Evaluation, Measurement
from tuner.measure.lock import device_lock
from tuner.params.named_places import check_places
from tuner.params.pick import Point, all_points, chosen_point
from tuner.params.read import read
from tuner.params.write import verified_entry, write
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.verify import measure_again
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.best import fastest_of
from tuner.study.formatting import quality_text
from tuner.study.identity import identity, own_identity
from tuner.study.verifications import Failure

SLOWER = 0.1  # share of the exported speedup that a setting may lose and still hold
SEED_OFFSET = 2  # other noise than that of the search and of its verification


def verify(
    path: Path,
    *,
    report: Callable[[str], None],
    best_only: bool = False,
    changes: Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
) -> None:
    """Re-measure a file's feasible settings on prompts and noise that their search did not use.

    The figures are written into the file after each setting. A setting that misses a limit becomes
    infeasible, and the fastest one that is still feasible becomes the best. A picked setting stays
    the picked one, and is re-measured even if it was not feasible.

    Args:
        path: a `search_params.json`.
        report: called with a line for each study and each setting.
        best_only: re-measure only each study's picked setting or, without one, its best.
        changes: values that replace those of each study's spec, such as `device`,
            `scorer_device`, `model` or `prompts`; those that are None are ignored. `num_samples`
            prompts are measured, and up to `max_samples` where these are too few to be sure.
        allow_pickle: as in `tuner.load`.

    Raises:
        UsageError: the file, or what it refers to, cannot be read or lies outside its folder and
            the current one; or the weights are different.
        UnreachedError: a picked or best setting no longer holds, or a study has none.
    """
    contents = read(path)
    session = Session(allow_pickle=allow_pickle)
    failures = []
    for name, study in contents["studies"].items():
        chosen = chosen_point(study)
        if chosen is None:
            failures.append(f"{name} has no feasible setting")
            continue
        best, kind = chosen["params"], "picked" if "picked" in study else "best"
        report(f"{name}: limits: {Limits.of_request(study['goal'])}")
        check_places(path, study, changes or {})
        for params, holds in _verdicts(session, name, study, report, best_only, changes or {}):
            write(path, contents)  # so that an interruption loses one setting at most
            if params == best and not holds:
                failures.append(f"the {kind} setting of {name} no longer holds")
        now = chosen_point(study)
        if now is not None and now["params"] != best:
            report(f"the best setting of {name} is now {Setting.of(now['params'])}")
    if failures:
        raise UnreachedError("; ".join(failures))


def _verdicts(
    session: Session,
    name: str,
    study: dict[str, Any],
    report: Callable[[str], None],
    best_only: bool,
    changes: Mapping[str, Any],
) -> Iterator[tuple[Any, bool]]:
    """Each re-measured setting of a study, and whether it holds; its figures are in the study."""
    spec = spec_of(study, changes)
    with device_lock(device_named(spec.device), report):
        evaluation = session.evaluation(spec, pool="verify", more=True)
        check_conditions(name, study, evaluation)
        store = InMemoryStore()
        for params in settings_to_verify(study, best_only):
            yield params, verify_setting(study, params, evaluation, store, spec, report)


def spec_of(study: Mapping[str, Any], changes: Mapping[str, Any]) -> StudySpec:
    """The spec under which a study's settings were measured, with another seed.

    Raises `UsageError` if a program made the study's pipeline, and `changes` name no function that
    returns it.
    """
    if "own" in study and not (study["own"].get("pipeline") or changes.get("pipeline")):
        raise UsageError(
            f"the file does not say how the pipeline of {study['pipe']} is made; set pipeline to a "
            "function that returns it, such as production.py:make_pipeline, and call to a function "
            "that returns the arguments of its call"
        )
    conditions, goal, chosen = study["evaluation"], study["goal"], chosen_point(study)
    metrics = {name for point in study["pareto"] for name in point["fidelity"]}
    values = {
        "pipe": study["pipe"],
        "sched": study["sched"],
        **(_own_conditions(study) if "own" in study else _conditions(study)),
        "num_samples": study["baseline"]["num_samples"],
        "batch_size": conditions["batch"],
        "seed": (conditions["seed"] + SEED_OFFSET) % 2**32,
        "prompts": study.get("prompts"),
        "metrics": tuple(sorted(metrics)),
        "limits": goal["limits"],
        "req_score_loss": goal["req_score_loss"],
        "search_targets": tuple(chosen["params"] if chosen else ()),
    }
    return StudySpec(**values | {k: v for k, v in changes.items() if v is not None})


def _conditions(study: Mapping[str, Any]) -> dict[str, Any]:
    """What a known model was measured with."""
    conditions = study["evaluation"]
    return {
        "steps": study["steps"],
        "guidance_scale": conditions.get("guidance"),
        **{name: conditions.get(name) for name in ("resolution", "height", "width")},
        "negative_prompt": conditions.get("negative_prompt"),
        "dtype": conditions["dtype"],
        "compile": conditions.get("compile"),
        "model": study.get("model"),
    }


def _own_conditions(study: Mapping[str, Any]) -> dict[str, Any]:
    """Where a user's pipeline and its call come from."""
    own = study["own"]
    names = {"num_inference_steps": "steps"}
    arguments = {names.get(name, name): value for name, value in own["arguments"].items()}
    return {"pipeline": own.get("pipeline"), "call": own.get("call"), **arguments}


def check_conditions(name: str, study: Mapping[str, Any], evaluation: Evaluation) -> None:
    """Raise `UsageError` if the loaded weights, or a user's call, are not those of the study."""
    searched, loaded = study["evaluation"]["weights"], evaluation.score_parts["weights"]
    where = "set model to the folder or hub id of the weights that the search used"
    if "own" in study:
        where = "name the functions that return the pipeline and the call that the search used"
    if searched != loaded:
        raise UsageError(
            f"the weights of {name} have the fingerprint {searched}, but the loaded ones have "
            f"{loaded}; {where}"
        )
    if "own" not in study:
        return
    before = {"steps": study["steps"], **study["evaluation"]}
    after = {"steps": evaluation.steps, **identity(evaluation), **own_identity(evaluation)}
    for part in ("pipeline", "scheduler", "steps", "guidance", "negative_prompt", "call"):
        if before.get(part) != after.get(part):
            raise UsageError(
                f"{name} was measured with {part} {before.get(part)}, but now it is "
                f"{after.get(part)}; {where}"
            )


def settings_to_verify(study: Mapping[str, Any], best_only: bool) -> list[Mapping[str, Any]]:
    """The picked or best setting of a study and its feasible ones, as params; fastest first."""
    chosen = chosen_point(study)
    if best_only and chosen is not None:
        return [chosen["params"]]
    feasible = [point for point in all_points(study) if point["feasible"] or point is chosen]
    feasible.sort(key=lambda point: -point["speedup"])
    distinct: list[Mapping[str, Any]] = []
    for point in feasible:
        if point["params"] not in distinct:
            distinct.append(point["params"])
    return distinct


def verify_setting(
    study: dict[str, Any],
    params: Mapping[str, Any],
    evaluation: Evaluation,
    store: InMemoryStore,
    spec: StudySpec,
    report: Callable[[str], None],
) -> bool:
    """Re-measure a setting, update the study with the figures, and return whether it holds.

    A setting holds if it is within the limits and not clearly slower than exported (`is_slower`).
    """
    limits, setting = Limits.of(spec), Setting.of(params)
    most = evaluation.most_prompts
    rule = StoppingRule(limits=limits, samples=spec.num_samples, resolves=True, most=most)
    points = [point for point in all_points(study) if point["params"] == params]
    measured = measure_again(
        partial(evaluation.measure, setting, store, settled=rule.settled), rule
    )
    if isinstance(measured, Failure):
        set_verdict(study, points, feasible=False, verified=None)
        report(f"no longer holds: {setting}: {measured.reason}")
        return False
    missed = limits.missed(measured.score_loss.value, measured.fidelity)
    slower = is_slower(measured, points[0])
    entry = entry_of(measured, study["baseline"])
    set_verdict(study, points, feasible=not missed, verified=entry)
    reasons = [f"misses the limit of {name}" for name in missed] + [
        "clearly slower than exported"
    ] * slower
    verdict = f"no longer holds ({', '.join(reasons)})" if reasons else "holds"
    unsteady = f"; unsteady timing: {measured.unsteady}" if measured.unsteady else ""
    report(
        f"{verdict}: {setting}: "
        f"{times(measured.speedup.value)} now, {times(points[0]['speedup'])} exported; "
        f"{quality_text(measured)} over {_prompts_text(measured.prompts, spec)}; verdict: "
        f"{limits.certainty(measured.score_loss, measured.fidelity)}{unsteady}"
    )
    return not reasons


def _prompts_text(prompts: int, spec: StudySpec) -> str:
    """How many prompts were measured, and why they are more than were asked for."""
    few = spec.num_samples
    because = f" ({few} were too few to be sure)" if prompts > few else ""
    return f"{prompts} prompts{because}"


def entry_of(measured: Measurement, baseline: Mapping[str, Any]) -> dict[str, Any]:
    """A verification in the file, from its measurement and the study's exported baseline.

    The latency is the exported baseline's latency divided by the speedup. If the verification was
    timed on another machine or with other package versions, the baseline that was measured there is
    used instead, and the entry is marked.
    """
    if measured.latency_key == baseline.get("latency_key"):
        return verified_entry(measured, baseline["latency_s"] / measured.speedup.value)
    latency_s = measured.baseline_s / measured.speedup.value
    return verified_entry(measured, latency_s) | {"timed_elsewhere": True}


def set_verdict(
    study: dict[str, Any], points: list[Point], feasible: bool, verified: Mapping[str, Any] | None
) -> None:
    """Update all points of a setting, and choose the study's best setting measured."""
    for point in points:
        point |= {"feasible": feasible, "verified": verified}
    study["by_combination"] = {
        name: point for name, point in study["by_combination"].items() if point["feasible"]
    }
    candidates = [point for point in all_points(study) if point["feasible"]]
    reaching = [point for point in candidates if _reaches_target(point, study["goal"])]
    study["best"] = fastest_of(
        reaching or candidates,
        lambda point: float(point["speedup"]),
        lambda point: point["verified"] is not None,
    )


def _reaches_target(point: Point, goal: Mapping[str, Any]) -> bool:
    """Whether a point reaches the target of its study, also in its verification if any."""
    least, most = goal.get("req_speedup") or 0.0, goal.get("req_time") or math.inf
    verified = point["verified"]
    counts = verified is not None and "timed_elsewhere" not in verified
    timed = [point, verified] if counts else [point]
    return all(part["speedup"] >= least and part["latency_s"] <= most for part in timed)


def is_slower(measured: Measurement, point: Point) -> bool:
    """Whether a speedup is clearly below the exported one.

    That is, more than 10% below it, with a 95% interval entirely below the exported interval.
    """
    low = point["speedup_ci"][0] or 0.0
    return measured.speedup.value < (1 - SLOWER) * point["speedup"] and measured.speedup.high < low
