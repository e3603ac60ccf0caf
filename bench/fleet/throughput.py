"""How many trials per minute several Dask workers finish on one study, compared with one worker.

    python -m bench.fleet.throughput [--workers 1,4] [--rounds 30] [--seconds 3]

Each worker is a process that Dask places (`tuner.fleet`), on one study in an SQLite file. The
sampler `frontier`, the runner and the database are those of `tuner run`; a measurement sleeps for
`--seconds` and returns figures of a truth table (`bench.fleet.simulated`). Each worker has
`--rounds` trials on average. The workers wait for one another before the first trial; the minutes
are those from the begin of the first trial to the end of the last one. A trial that was cut off
because its worker was lost does not count.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from bench.fleet.simulated import TABLE, SimulatedStudy, repeated, truth_table
from bench.lib.miniature import conditions, quiet
from tuner.fleet.local import run_on_workers
from tuner.study.reuse import MEASURED

POLL_S = 0.05


def main() -> None:
    args = arguments()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{conditions()}; table {TABLE}, trials of {args.seconds:g} s\n")
    print("| workers | trials | trials per minute | times those of the first line |", end=" ")
    print("bookkeeping of a trial: median, 90% | measured twice |\n|---|---|---|---|---|---|")
    first = None
    for workers in map(int, args.workers.split(",")):
        trials = measure(workers, args.rounds * workers, args.seconds)
        rate = trials_per_minute(trials)
        first = first or rate
        extra = periods(trials) - args.seconds
        print(
            f"| {workers} | {len(trials)} | {rate:.1f} | {rate / first:.2f} "
            f"| {np.median(extra):.2f} s, {np.quantile(extra, 0.9):.2f} s | {repeated(trials)} |",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--rounds", type=int, default=30, help="trials for each worker")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a measurement")
    return parser.parse_args()


def measure(workers: int, trials: int, seconds: float) -> list[FrozenTrial]:
    """The trials of a new study that is searched by some workers."""
    with TemporaryDirectory() as folder:
        study = SimulatedStudy(
            storage=f"sqlite:///{folder}/tuner.db",
            truth=truth_table(),
            trials=trials,
            seconds=seconds,
        )
        study.open()
        run_on_workers(Together(study, workers, Path(folder)), workers)
        return [trial for trial in study.open().trials if trial.state in MEASURED]


@dataclass(frozen=True)
class Together:
    """What each worker does: it waits until all are ready, and searches the study."""

    study: SimulatedStudy
    workers: int
    folder: Path

    def __call__(self, worker: int) -> None:
        """Search as the worker of this number."""
        self.study.open()
        (self.folder / f"{worker}.ready").touch()
        while len(list(self.folder.glob("*.ready"))) < self.workers:
            time.sleep(POLL_S)
        self.study.run()


def trials_per_minute(trials: Sequence[FrozenTrial]) -> float:
    """How many trials ended per minute, from the first begin to the last end."""
    begin = min(trial.datetime_start for trial in trials if trial.datetime_start)
    end = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    return 60 * len(trials) / (end - begin).total_seconds()


def periods(trials: Sequence[FrozenTrial]) -> np.ndarray:
    """Seconds from each end of a worker's trial to that of its next one."""
    ends: dict[str, list[float]] = {}
    for trial in trials:
        assert trial.datetime_complete is not None
        ends.setdefault(trial.user_attrs["worker"], []).append(trial.datetime_complete.timestamp())
    return np.concatenate([np.diff(sorted(times)) for times in ends.values()])


if __name__ == "__main__":
    main()
