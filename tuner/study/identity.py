"""Which study a request belongs to: its name, and what distinguishes ways of evaluating."""

import hashlib
import json
from typing import Any

import optuna

from tuner.limits import Limits
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Evaluation
from tuner.spec import StudySpec
from tuner.storage.database import Storage

CALL = ("negative_prompt", "compile", "call", "call_of_each")  # most studies have none of them


def study_of(spec: StudySpec, evaluation: Evaluation, storage: Storage) -> optuna.Study:
    """The study of a spec, created when there is none.

    Each product of values that is swept has a study of its own. What a walk skips depends on the
    limits, so that walks with different limits have different studies.
    """
    evaluated = identity(evaluation)
    name = f"{spec.pipe}/{spec.sched}/{evaluation.steps}"
    if spec.pipeline is not None:
        evaluated |= own_identity(evaluation)
    if spec.sweep is None:
        return storage.open_study(name, evaluated)
    values = str({part.name: spec.values(part) for part in spec.accelerators})
    digest = hashlib.sha256(values.encode()).hexdigest()[:6]
    product = f"{'distinct ' if spec.distinct else ''}{'+'.join(spec.search_targets)} {digest}"
    if spec.sweep == "walk":
        limits = Limits.of(spec).as_dict()
        evaluated["limits"] = " and ".join(f"{name} {limit:g}" for name, limit in limits.items())
    return storage.open_sweep(f"{name} {spec.sweep}", evaluated | {"product": product})


def identity(evaluation: Evaluation) -> dict[str, Any]:
    """What distinguishes one way of evaluating a triple from another, in a few readable values."""
    scores, latency = evaluation.score_parts, evaluation.latency_parts
    extra = " + ".join(metric.metric.identity for metric in evaluation.extra_metrics)
    return {
        "weights": scores["weights"],
        "guidance": scores["guidance_scale"],
        "resolution": scores["resolution"],
        "dtype": scores["dtype"],
        "prompts": scores["prompts"],
        "seed": scores["seed"],
        "metric": scores["metric"],
        "device": latency["device"],
        "batch": latency["batch_size"],
        **({"beside": extra} if extra else {}),
        **{name: scores[name] for name in CALL if name in scores},
    }


def own_identity(evaluation: Evaluation) -> dict[str, Any]:
    """What further distinguishes studies of pipelines that the user made: class and scheduler.

    The scheduler's configuration is that of the pipeline, and may be any.
    """
    scheduler = evaluation.score_parts["scheduler"]
    return {"pipeline": evaluation.score_parts["pipeline"], "scheduler": key_of(scheduler)[:8]}


def request(spec: StudySpec, steps: int | None = None) -> dict[str, Any]:
    """The request as it is stored with the study, for `tuner show` and `tuner export`.

    `steps`: the passes of a call, which may be fewer than the spec asks for; the spec's when None.
    """
    prompts = spec.prompts
    return {
        "pipe": spec.pipe,
        "sched": spec.sched,
        "steps": spec.steps if steps is None else steps,
        "search_targets": list(spec.search_targets),
        "req_score_loss": spec.req_score_loss,
        "req_speedup": spec.req_speedup,
        "req_time": spec.req_time,
        "limits": dict(spec.limits),
        "batch_size": spec.batch_size,
        "seed": spec.seed,
        "prompts": prompts if prompts is None or isinstance(prompts, str) else list(prompts),
        "model": spec.model,
        **({} if spec.pipeline is None else {"own": _own_request(spec)}),
    }


def _own_request(spec: StudySpec) -> dict[str, Any]:
    """Where a user's pipeline and its call come from, as far as that can be written down.

    Objects cannot: `tuner verify` is given functions that return them.
    """
    own = {name: getattr(spec, name) for name in ("pipeline", "call")}
    own = {name: value for name, value in own.items() if _is_json(value)}
    return own | {"arguments": spec.arguments}


def _is_json(value: Any) -> bool:
    try:
        return value is not None and json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False
