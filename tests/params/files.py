"""Small files of the form that `tuner export` writes."""

import json
from pathlib import Path
from typing import Any

EVALUATION = {
    "weights": "0",
    "guidance": 7.5,
    "resolution": 16,
    "dtype": "float32",
    "seed": 42,
    "batch": 4,
}


def study(
    steps: int,
    params: dict[str, Any] | None,
    sched: str = "DDIM",
    evaluation: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A study with the keys of every file; without `evaluation` it is valid as contents only."""
    best = None if params is None else point(params)
    whole = {
        "pipe": "SD1.5",
        "sched": sched,
        "steps": steps,
        "pipeline": "StableDiffusionPipeline",
        "versions": {},
        "baseline": {"latency_s": 1.0, "score": 0.3, "num_samples": 8}
        | {"memory_gib": None, "host_memory_gib": None},
        "goal": {"req_score_loss": 0.02, "req_speedup": None, "req_time": None, "limits": {}},
        "best": best,
        "by_combination": {},
        "pareto": [],
    }
    return whole if evaluation is None else whole | {"evaluation": EVALUATION | evaluation}


def point(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "params": params,
        "latency_s": 0.5,
        "speedup": 2.0,
        "speedup_ci": [1.9, 2.1],
        "score": 0.3,
        "score_loss": 0.01,
        "score_loss_ci": [0.0, None],
        "feasible": True,
        "fidelity": {},
        "memory_gib": None,
        "host_memory_gib": None,
        "num_samples": 8,
        "certainty": "sure",
        "verified": None,
        "trial": 0,
    }


def contents(**studies: dict[str, Any]) -> dict[str, Any]:
    return {"schema": 1, "studies": studies}


def file(folder: Path, **studies: dict[str, Any]) -> Path:
    path = folder / "search_params.json"
    path.write_text(json.dumps(contents(**studies)))
    return path
