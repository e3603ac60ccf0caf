"""Databases with searched studies, for the commands that read them."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helpers.simulated import Bench, batched_bench
from tuner.study.identity import request

BASELINE = {"latency_s": 1.0, "score": 30.0, "num_samples": 2}
KNOBS = {"deepcache": {"cache_interval": (2, 3, 5), "cache_branch_id": (0,)}}
VALUES = {"search_targets": ("deepcache",), "knobs": KNOBS, "trials": 4, "sampler": "frontier"}
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


def searched(folder: Path) -> Bench:
    """DeepCache with speedups of 1.2×, 1.3× and 1.5× for losses of 0.4%, 0.6% and 1%."""
    (folder / "tuner.db").write_bytes(_searched())
    return Bench(folder, **VALUES)  # type: ignore[arg-type]


@cache
def _searched() -> bytes:
    """The bytes of the database: copying them is faster than searching each time."""
    with TemporaryDirectory() as folder:
        bench = with_baseline(Bench(Path(folder), **VALUES))  # type: ignore[arg-type]
        bench.search()
        bench.storage.engine.dispose()
        bench.storage.optuna.engine.dispose()
        return (Path(folder) / "tuner.db").read_bytes()


def with_stopped_trials(folder: Path) -> Bench:
    """Two settings that are certain to miss the limit after a quarter of their prompts."""
    knobs = {"deepcache": {"cache_interval": (5,), "cache_branch_id": (2, 3)}}
    bench = with_baseline(batched_bench(folder, trials=2, req_score_loss=0.001, knobs=knobs))
    bench.search(samples=32, stops_early=True)
    return bench
