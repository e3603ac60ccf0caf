"""Many processes on one SQLite file: "database is locked", and what the bookkeeping costs.

    python -m bench.fleet.sqlite [--processes 24,4] [--seconds 2] [--trials 5]

All processes search one simulated study (`bench.fleet.simulated`) at the same time. Bookkeeping is
everything but the measurement: the proposal (at random; `--sampler frontier` for the model's) and
what is read and written for a trial. Its share is that of the trial's seconds. On a machine that is
busy with other work processes wait for a core too, so that the seconds on a core are printed as
well. The first trial of each process is left out.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import optuna
from optuna.trial import FrozenTrial

from bench.fleet.processes import in_child, in_children, table_of_another_process
from bench.fleet.simulated import TABLE, SimulatedStudy
from tuner.search.runner.observer import Observer


@dataclass
class Clock(Observer):
    """Tells the measurement of one process from its bookkeeping."""

    slept_s: float = 0.0
    began: float = field(default_factory=time.monotonic)
    cpu_began: float = field(default_factory=time.process_time)
    spent_s: list[float] = field(default_factory=list)  # bookkeeping of each trial
    cpu_s: list[float] = field(default_factory=list)  # of it on a core
    locked: int = 0

    def sleep(self, seconds: float) -> None:
        """Measure."""
        began = time.monotonic()
        time.sleep(seconds)
        self.slept_s += time.monotonic() - began

    def trial_stored(self, trial: FrozenTrial) -> None:
        """Note what the trial took besides its measurement."""
        now, cpu = time.monotonic(), time.process_time()
        self.spent_s.append(now - self.began - self.slept_s)
        self.cpu_s.append(cpu - self.cpu_began)
        self.began, self.slept_s, self.cpu_began = now, 0.0, cpu

    def notice(self, line: str) -> None:
        """Count waits for a locked database."""
        self.locked += "locked" in line


def main() -> None:
    args = arguments()
    truth = table_of_another_process(args.table)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; trials of {args.seconds:g} s, "
        f"sampler {args.sampler}\n\n"
        "| processes | trials | database is locked | bookkeeping, median | longest | share of a "
        "trial | of it on a core | share |\n|---|---|---|---|---|---|---|---|"
    )
    for processes in map(int, args.processes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            study = SimulatedStudy(
                storage=f"sqlite:///{Path(folder) / 'tuner.db'}",
                truth=truth,
                trials=args.trials * processes,
                seconds=args.seconds,
                sampler=args.sampler,
            )
            in_child(partial(begin, study))
            clocks = in_children([partial(work, study)] * processes)
        spent = [seconds for clock in clocks for seconds in clock.spent_s[1:]]
        cpu = median(seconds for clock in clocks for seconds in clock.cpu_s[1:])
        locked = sum(clock.locked for clock in clocks)
        print(
            f"| {processes} | {study.trials} | {locked} | {median(spent) * 1000:.0f} ms | "
            f"{max(spent):.2f} s | {median(spent) / args.seconds:.1%} | {cpu * 1000:.0f} ms | "
            f"{cpu / args.seconds:.1%} |",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", default="4,24")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a trial")
    parser.add_argument("--trials", type=int, default=5, help="for each process")
    parser.add_argument("--sampler", choices=("random", "frontier"), default="random")
    parser.add_argument("--table", default=TABLE, help="the truth table")
    return parser.parse_args()


def begin(study: SimulatedStudy) -> None:
    """Create the study."""
    study.open()


def work(study: SimulatedStudy) -> Clock:
    """Search the study until it has its trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clock = Clock()
    counted: Callable[[str], None] = clock.notice
    try:
        replace(study, sleep=clock.sleep, notice=counted).run(clock)
    except Exception as error:
        if "locked" not in str(error):
            raise
        clock.locked += 1
    return clock


if __name__ == "__main__":
    main()
