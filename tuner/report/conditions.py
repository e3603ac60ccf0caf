"""Under which conditions a study was measured: model, evaluation, device and versions."""

from collections.abc import Iterator

from tuner.formatting import seconds
from tuner.report.content import StudyContent
from tuner.study.formatting import baseline_quantities

# What the study stores of its evaluation, and what it is called on the page.
EVALUATION = {
    "guidance": "guidance scale",
    "resolution": "resolution",
    "negative_prompt": "negative prompt",
    "compile": "torch.compile",
    "dtype": "precision",
    "prompts": "prompts (number, digest)",
    "seed": "seed",
    "metric": "score (metric, digest)",
    "beside": "extra metrics",
    "device": "device",
    "batch": "images per batch",
    "weights": "weights (digest)",
}


def conditions(content: StudyContent) -> list[tuple[str, str]]:
    """Names and values, in the order in which people look for them; without those not stored."""
    return [(name, str(value)) for name, value in _stored(content) if value not in (None, "")]


def _stored(content: StudyContent) -> Iterator[tuple[str, object]]:
    request, baseline = content.request, content.baseline
    yield "goal", content.goal
    yield "model", request.get("pipe")
    yield "weights from", request.get("model")
    yield "pipeline", content.attributes.get("pipeline")
    yield "scheduler", request.get("sched")
    yield "steps", request.get("steps")
    yield "accelerators", ", ".join(request.get("search_targets", ()))
    yield "prompts from", request.get("prompts")
    evaluation = content.attributes.get("evaluation", {})
    for key in (*EVALUATION, *(key for key in evaluation if key not in EVALUATION)):
        yield EVALUATION.get(key, key), evaluation.get(key)
    latency, score = baseline.get("latency_s"), baseline.get("score")
    yield "baseline latency", None if latency is None else f"{seconds(latency)} per image"
    yield "baseline score", None if score is None else f"{score:.2f}"
    for quantity, value in baseline_quantities(baseline):
        yield f"baseline {quantity.title}", quantity.text_of(value)
    versions = content.attributes.get("versions", {})
    yield "versions", ", ".join(f"{name} {number}" for name, number in versions.items())
