"""A machine that is not quiet: is a speedup right all the same, or does the trial say so?

    python -m bench.speed.loaded [--repeat 4] [--prompts 16]

Five settings, as trials: on the machine as it is; with a neighbour that keeps a core busy
throughout; and with a neighbour that comes at some moment of the trial. The neighbour may run where
this process may, so that confining this one to a core (`taskset -c 1`) has them share it. The
baseline is one that was kept when the machine was quiet. A trial is silently wrong when its speedup
is more than 5 % from the quiet figure, the median of the quiet trials, and it does not say that the
machine was unsteady.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from threading import Timer

from bench.lib.miniature import conditions, evaluation_of, quiet
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.evaluation import Evaluation, Measurement
from tuner.setting import Setting

SETTINGS = [
    Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 3}}),
    Setting.of({"deepcache": {"cache_interval": 5, "cache_branch_id": 0}}),
    Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}}),
    Setting.of({"tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2}}),
    Setting.of(
        {
            "deepcache": {"cache_interval": 3, "cache_branch_id": 1},
            "tgate": {"gate_step": 15, "sp_interval": 2, "fi_interval": 1, "warmup": 3},
        }
    ),
]
WRONG = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=4, help="trials of each setting when quiet")
    parser.add_argument("--loaded", type=int, default=2, help="and under each kind of load")
    parser.add_argument("--prompts", type=int, default=16)
    args = parser.parse_args()
    quiet()
    evaluation = evaluation_of("search", args.prompts)
    about = conditions()
    store = InMemoryStore()
    evaluation.baseline(store)
    usual = {one: [trial(evaluation, one, store, "none") for _ in range(args.repeat)]
             for one in SETTINGS}  # fmt: skip
    right = {one: median(m.speedup.value for m, _ in found) for one, found in usual.items()}
    seconds = {one: median(took for _, took in found) for one, found in usual.items()}
    rows = [("quiet", one, m) for one, found in usual.items() for m, _ in found]
    for load in ("throughout", "half-way"):
        for one in SETTINGS:
            for _ in range(args.loaded):
                found, _ = trial(evaluation, one, store, load, seconds[one])
                rows.append((load, one, found))
    print(about + "\n")
    print("| neighbour | setting | quiet speedup | measured (95 %) | off by | unsteady |")
    print("|---|---|---|---|---|---|")
    for load, setting, found in rows:
        fast = found.speedup
        print(
            f"| {load} | {setting} | {right[setting]:.3f}× | {fast.value:.3f}× ({fast.low:.3f} … "
            f"{fast.high:.3f}) | {fast.value / right[setting] - 1:+.1%} | {found.unsteady or ''} |"
        )
    calm = [found for load, _, found in rows if load == "quiet"]
    said = sum(one.unsteady is not None for one in calm)
    print(f"\nquiet trials called unsteady: {said} of {len(calm)}")
    for load in ("quiet", "throughout", "half-way"):
        found_here = [(setting, found) for name, setting, found in rows if name == load]
        off = [abs(one.speedup.value / right[setting] - 1) for setting, one in found_here]
        silent = sum(
            far > WRONG and one.unsteady is None
            for far, (_, one) in zip(off, found_here, strict=True)
        )
        print(f"{load}: off by {max(off):.1%} at most; silently wrong: {silent} of {len(off)}")


def trial(
    evaluation: Evaluation, setting: Setting, store: InMemoryStore, load: str, takes_s: float = 0.0
) -> tuple[Measurement, float]:
    """A trial of a setting, from the baseline that was kept when it was quiet; and its seconds."""
    kept = InMemoryStore(store.entries)
    delay = {"none": None, "throughout": 0.0, "half-way": takes_s * random.uniform(0.25, 0.75)}
    with neighbour(delay[load]):
        start = time.perf_counter()
        *_, last = evaluation.measure(setting, kept)
        return last, time.perf_counter() - start


@contextmanager
def neighbour(delay_s: float | None) -> Iterator[None]:
    """A process that never rests, from some seconds on; none where they are None."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        begun.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))

    timer = Timer(delay_s or 0.0, begin)
    if delay_s is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if delay_s is not None:
            timer.join()
        for process in begun:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
