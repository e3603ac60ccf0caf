"""Which study a request belongs to: its name, and what distinguishes ways of evaluating."""

import hashlib
from typing import Any

import optuna

from tuner.limits import Limits
from tuner.measure.evaluation import Evaluation
from tuner.spec import StudySpec
from tuner.storage.database import Storage


def study_of(spec: StudySpec, evaluation: Evaluation, storage: Storage) -> optuna.Study:
    """The study of a spec, created when there is none.

    Each product of values that is swept has a study of its own. What a walk skips depends on the
    limits, so that walks with different limits have different studies.
    """
    evaluated = identity(evaluation)
    if spec.sweep is None:
        return storage.open_study(spec.triple, evaluated)
    values = str({part.name: spec.values(part) for part in spec.accelerators})
    digest = hashlib.sha256(values.encode()).hexdigest()[:6]
    product = f"{'distinct ' if spec.distinct else ''}{'+'.join(spec.search_targets)} {digest}"
    if spec.sweep == "walk":
        limits = Limits.of(spec).as_dict()
        evaluated["limits"] = " and ".join(f"{name} {limit:g}" for name, limit in limits.items())
    return storage.open_sweep(f"{spec.triple} {spec.sweep}", evaluated | {"product": product})


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
        **{name: scores[name] for name in ("negative_prompt",) if name in scores},
    }


def request(spec: StudySpec) -> dict[str, Any]:
    """The request as it is stored with the study, for `tuner show` and `tuner export`."""
    return {
        "pipe": spec.pipe,
        "sched": spec.sched,
        "steps": spec.steps,
        "search_targets": list(spec.search_targets),
        "req_score_loss": spec.req_score_loss,
        "req_speedup": spec.req_speedup,
        "req_time": spec.req_time,
        "limits": dict(spec.limits),
        "batch_size": spec.batch_size,
        "seed": spec.seed,
        "prompts": spec.prompts,
        "model": spec.model,
    }
