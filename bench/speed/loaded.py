"""Is a speedup right on a machine that is busy with other work; if not, does the trial report it?

    python -m bench.speed.loaded [--repeat 4] [--prompts 16]

Trials of five settings: on the machine as it is (quiet), next to a process that keeps a core busy
throughout, and next to one that starts at a random moment of the trial (half-way). The busy process
inherits the allowed cores: started with `taskset -c 1`, both share a core. All trials use the
baseline that was stored when the machine was quiet. A trial is silently wrong when its speedup is
more than 5% from the median of the quiet trials and it does not report an unsteady machine.
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
Row = tuple[str, Setting, Measurement]  # load, setting, trial


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
    quiet_trials = {
        setting: [trial(evaluation, setting, store, "none") for _ in range(args.repeat)]
        for setting in SETTINGS
    }
    right = {
        setting: median(measured.speedup.value for measured, _ in trials)
        for setting, trials in quiet_trials.items()
    }
    rows = [
        ("quiet", setting, measured)
        for setting, trials in quiet_trials.items()
        for measured, _ in trials
    ]
    for load in ("throughout", "half-way"):
        for setting in SETTINGS:
            takes_s = median(seconds for _, seconds in quiet_trials[setting])
            for _ in range(args.loaded):
                measured, _ = trial(evaluation, setting, store, load, takes_s)
                rows.append((load, setting, measured))
    print(about + "\n")
    print_table(rows, right)


def print_table(rows: list[Row], right: dict[Setting, float]) -> None:
    """Print every trial, and under each load how many are silently wrong."""
    print("| busy process | setting | quiet speedup | measured (95%) | off by | unsteady |")
    print("|---|---|---|---|---|---|")
    for load, setting, measured in rows:
        speedup = measured.speedup
        print(
            f"| {load} | {setting} | {right[setting]:.3f}× | {speedup.value:.3f}× "
            f"({speedup.low:.3f} … {speedup.high:.3f}) "
            f"| {speedup.value / right[setting] - 1:+.1%} | {measured.unsteady or ''} |"
        )
    quiet_ones = [measured for load, _, measured in rows if load == "quiet"]
    unsteady = sum(measured.unsteady is not None for measured in quiet_ones)
    print(f"\nquiet trials called unsteady: {unsteady} of {len(quiet_ones)}")
    for load in ("quiet", "throughout", "half-way"):
        errors = [
            (abs(measured.speedup.value / right[setting] - 1), measured.unsteady is not None)
            for name, setting, measured in rows
            if name == load
        ]
        worst = max(error for error, _ in errors)
        silent = sum(error > WRONG and not reported for error, reported in errors)
        print(f"{load}: off by {worst:.1%} at most; silently wrong: {silent} of {len(errors)}")


def trial(
    evaluation: Evaluation, setting: Setting, store: InMemoryStore, load: str, takes_s: float = 0.0
) -> tuple[Measurement, float]:
    """A trial of a setting under a load, with the stored baseline; and its seconds.

    `takes_s` is the duration of a quiet trial, which the load `half-way` needs.
    """
    copied = InMemoryStore(store.entries)
    delay = {"none": None, "throughout": 0.0, "half-way": takes_s * random.uniform(0.25, 0.75)}
    with busy_process(delay[load]):
        start = time.perf_counter()
        *_, last = evaluation.measure(setting, copied)
        return last, time.perf_counter() - start


@contextmanager
def busy_process(delay_s: float | None) -> Iterator[None]:
    """Start a process that keeps a core busy, after a delay; with None, start none."""
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
