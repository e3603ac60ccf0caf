"""`tuner verify`: measuring what a file holds again, later or on another machine."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tuner.errors import UnreachedError, UsageError
from tuner.limits import Limits
from tuner.loading import device_named
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.evaluation import Evaluation, Measurement
from tuner.measure.lock import device_lock
from tuner.params import write as export
from tuner.params.read import read
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.verify import measure_again
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.formatting import losses
from tuner.study.verifications import Failure

SLOWER = 0.1  # a speedup holds that is no more than this share under the exported one
NOISE = 2  # the search draws from its seed and the search's own second look from the next one

Point = dict[str, Any]


def verify(
    path: Path,
    *,
    say: Callable[[str], None],
    best_only: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Measure a file's feasible points again, on prompts and noise that their search never saw.

    What is found is written into the file: a point that misses a limit is no longer feasible, and
    the best is the fastest that is.

    Args:
        path: a `search_params.json`.
        say: is told in one line for each point what holds and what does not.
        best_only: leave out all but the best.
        changes: of the spec of each study, such as `device`, `model` or `prompts`.

    Raises:
        UsageError: the file or what it names cannot be read, or these are other weights.
        UnreachedError: a best point does not hold, or there is none.
    """
    contents = read(path)
    session = Session()
    failed = []
    for name, study in contents["studies"].items():
        if study["best"] is None:
            failed.append(f"{name}: it has no feasible setting")
            continue
        best = study["best"]["params"]
        say(f"{name}: {Limits.of_request(study['goal'])}")
        spec = spec_of(study, changes or {})
        with device_lock(device_named(spec.device), say):
            evaluation = session.evaluation(spec, pool="verify", more=True)
            check_weights(name, study, evaluation)
            store = InMemoryStore()
            for params in points(study, best_only):
                holds = look_again(study, params, evaluation, store, spec, say)
                export.write(path, contents)  # what a kill leaves is true
                if params == best and not holds:
                    failed.append(f"{name}: the best does not hold")
        if study["best"] is not None and study["best"]["params"] != best:
            say(f"the best is now {Setting.of(study['best']['params'])}")
    if failed:
        raise UnreachedError("; ".join(failed))


def spec_of(study: Mapping[str, Any], changes: Mapping[str, Any]) -> StudySpec:
    """How a study of a file was evaluated, but for its noise."""
    how, goal = study["evaluation"], study["goal"]
    beside = {name for point in study["pareto"] for name in point["fidelity"]}
    values = {
        "pipe": study["pipe"],
        "sched": study["sched"],
        "steps": study["steps"],
        "num_samples": study["baseline"]["num_samples"],
        "batch_size": how["batch"],
        "seed": (how["seed"] + NOISE) % 2**32,
        "guidance_scale": how["guidance"],
        "resolution": how["resolution"],
        "dtype": how["dtype"],
        "prompts": study.get("prompts"),
        "model": study.get("model"),
        "metrics": tuple(sorted(beside)),
        "limits": goal["limits"],
        "req_score_loss": goal["req_score_loss"],
        "search_targets": tuple(study["best"]["params"]),
    }
    return StudySpec(**values | {k: v for k, v in changes.items() if v is not None})


def check_weights(name: str, study: Mapping[str, Any], evaluation: Evaluation) -> None:
    """Raise `UsageError` where the model is another one than the study's."""
    asked, here = study["evaluation"]["weights"], evaluation.score_parts["weights"]
    if asked != here:
        raise UsageError(
            f"{name} was searched with the weights {asked} and these are {here}; "
            "give --model the folder or hub id of those"
        )


def points(study: Mapping[str, Any], best_only: bool) -> list[Mapping[str, Any]]:
    """The settings of a study that are feasible as exported, fastest first."""
    if best_only:
        return [study["best"]["params"]]
    found = [point for point in every(study) if point["feasible"]]
    found.sort(key=lambda point: -point["speedup"])
    distinct: list[Mapping[str, Any]] = []
    for point in found:
        if point["params"] not in distinct:
            distinct.append(point["params"])
    return distinct


def every(study: Mapping[str, Any]) -> Iterator[Point]:
    """Each point wherever it stands; the same setting may come several times."""
    if study["best"] is not None:
        yield study["best"]
    yield from study["by_combination"].values()
    yield from study["pareto"]


def look_again(
    study: dict[str, Any],
    params: Mapping[str, Any],
    evaluation: Evaluation,
    store: InMemoryStore,
    spec: StudySpec,
    say: Callable[[str], None],
) -> bool:
    """Measure a setting, put what was found into the study, and say whether it holds."""
    limits, setting = Limits.of(spec), Setting.of(params)
    effort = StoppingRule(limits=limits, samples=spec.num_samples, resolves=True)
    same = [point for point in every(study) if point["params"] == params]
    again = measure_again(partial(evaluation.measure, setting, store), effort)
    if isinstance(again, Failure):
        judge(study, same, feasible=False, verified=None)
        say(f"no longer holds: {setting}: {again.reason}")
        return False
    missed = limits.missed(again.score_loss.value, again.fidelity)
    slower = is_slower(again, same[0])
    judge(study, same, feasible=not missed, verified=verified(study["baseline"], again))
    wrong = [f"misses the limit of {name}" for name in missed] + ["slower"] * slower
    verdict = f"no longer holds ({', '.join(wrong)})" if wrong else "holds"
    say(
        f"{verdict}: {setting}: "
        f"{again.speedup.value:.2f}× here, {same[0]['speedup']:.2f}× exported; "
        f"{losses(again)}, {limits.certainty(again.score_loss, again.fidelity)}, "
        f"over {again.prompts} prompts{f'; unsteady: {again.unsteady}' if again.unsteady else ''}"
    )
    return not wrong


def verified(baseline: Mapping[str, Any], again: Measurement) -> dict[str, Any]:
    """A second measurement as the file has it.

    Its latency belongs to the machine that it was timed on: where that is not the exported
    baseline's, it comes from the baseline that was measured here, and the point says so.
    """
    if again.latency_key == baseline.get("latency_key"):
        return export.second(again, baseline["latency_s"] / again.speedup.value)
    here = again.baseline_s / again.speedup.value
    return export.second(again, here) | {"timed_elsewhere": True}


def judge(
    study: dict[str, Any], same: list[Point], feasible: bool, verified: Mapping[str, Any] | None
) -> None:
    """Put a verdict into all points of one setting, and choose the best of the study anew."""
    for point in same:
        point |= {"feasible": feasible, "verified": verified}
    study["by_combination"] = {k: v for k, v in study["by_combination"].items() if v["feasible"]}
    good = [point for point in every(study) if point["feasible"]]
    study["best"] = max(good, key=lambda point: point["speedup"], default=None)


def is_slower(again: Measurement, point: Point) -> bool:
    """Whether a speedup is clearly under the exported one."""
    low = point["speedup_ci"][0] or 0.0
    return again.speedup.value < (1 - SLOWER) * point["speedup"] and again.speedup.high < low
