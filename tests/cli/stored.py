"""Databases with searched studies, for the commands that read them."""

from pathlib import Path

from tests.helpers.simulated import Bench, batched_bench
from tuner.study.identity import request

BASELINE = {"latency_s": 1.0, "score": 30.0, "num_samples": 2}
KNOBS = {"deepcache": {"cache_interval": (2, 3, 5), "cache_branch_id": (0,)}}
NAME = "miniature/DDIM/50"


def with_baseline(bench: Bench) -> Bench:
    """Store what a run stores of its study before the search."""
    for name, value in {
        "request": request(bench.spec),
        "pipeline": "StableDiffusionPipeline",
        "versions": {"torch": "2.15.0"},
        "baseline": BASELINE,
    }.items():
        bench.study.set_user_attr(name, value)
    return bench


def searched(folder: Path, **changes: object) -> Bench:
    """DeepCache with speedups of 1.2×, 1.3× and 1.5× for losses of 0.4 %, 0.6 % and 1 %."""
    values = {"search_targets": ("deepcache",), "knobs": KNOBS, "trials": 4, "sampler": "frontier"}
    bench = with_baseline(Bench(folder, **values | changes))  # type: ignore[arg-type]
    bench.search()
    return bench


def with_stopped_trials(folder: Path) -> Bench:
    """Two settings that are certain to miss the limit after a quarter of their prompts."""
    knobs = {"deepcache": {"cache_interval": (5,), "cache_branch_id": (2, 3)}}
    bench = with_baseline(batched_bench(folder, trials=2, req_score_loss=0.001, knobs=knobs))
    bench.search(samples=32, stops_early=True)
    return bench
