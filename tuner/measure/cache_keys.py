"""The keys under which baselines are stored: digests of everything that changes their figures.

Equal parts give the same key in every version of this package, so that a stored baseline is found
again. The parts themselves are stored with it, so that people can read what changed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tuner.loading import fingerprint
from tuner.measure import device as machine
from tuner.pipelines.call_arguments import CallArguments
from tuner.pipelines.calls import values_of
from tuner.pipelines.compiling import compiled_as
from tuner.pipelines.denoiser import called_denoiser, denoiser_of
from tuner.size import Size

SCORE_ONLY = (
    "seed",
    "prompts",
    "metric",
    "call_of_each",
)  # parts that change scores but not the latency

NOT_OF_A_STEP = ("steps", "scheduler")  # parts of a latency that change no single step


def key_of(parts: Mapping[str, Any]) -> str:
    """A digest of the parts (24 hexadecimal digits); their order does not matter."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def score_parts(
    pipeline: Any,
    *,
    device: str,
    steps: int,
    call: CallArguments,
    size: Size,
    prompts: list[str],
    seed: int,
    metric: str,
) -> dict[str, Any]:
    """Everything that changes pictures and scores; `metric` is the metric's identity."""
    parts: dict[str, Any] = {
        "weights": fingerprint(pipeline),
        "pipeline": type(pipeline).__name__,
        "scheduler": scheduler_parts(pipeline.scheduler),
        "steps": steps,
        "guidance_scale": values_of(pipeline, call.common).get("guidance_scale"),
        "resolution": size.resolution,
        "dtype": str(denoiser_of(pipeline).dtype).removeprefix("torch."),
        "device_type": device.split(":")[0],
        "prompts": prompts_part(prompts),
        "seed": seed,
        "metric": metric,
        "versions": machine.versions(),
    }
    # Without such a part, the keys are those from before there was one.
    further = {
        "negative_prompt": call.common.get("negative_prompt"),
        "compile": compiled_as(called_denoiser(pipeline)),
        "call": call.described(steps) or None,
        "call_of_each": call.described_each(range(len(prompts))),
    }
    return parts | {name: part for name, part in further.items() if part is not None}


def scheduler_parts(scheduler: Any) -> dict[str, Any]:
    """A scheduler's class and configuration, except for the entries that name its source."""
    parts = {name: value for name, value in scheduler.config.items() if not name.startswith("_")}
    return {"class": type(scheduler).__name__} | parts


def prompts_part(prompts: list[str]) -> str:
    """The number of prompts and a digest of their texts."""
    return f"{len(prompts)} {hashlib.sha256(chr(10).join(prompts).encode()).hexdigest()[:12]}"


def latency_parts(parts: Mapping[str, Any], device: str, batch_size: int) -> dict[str, Any]:
    """Everything that changes the latency; `parts` are the score's."""
    return timed_parts(parts) | machine.describe(device) | {"batch_size": batch_size}


def timed_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Of all parts of a baseline, those that change its latency."""
    return {name: value for name, value in parts.items() if name not in SCORE_ONLY}


def step_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Of the parts of a latency, those that change what a step costs."""
    return {name: part for name, part in parts.items() if name not in NOT_OF_A_STEP}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the parts of two baselines differ: ['torch 2.14.0 -> 2.15.0', 'threads 1 -> 2']."""
    old, new = _flat(before), _flat(now)
    return [
        f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _flat(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts as JSON returns them, with nested ones (versions, scheduler) at the top level."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(parts)).items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat
