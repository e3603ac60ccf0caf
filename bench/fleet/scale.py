"""What a trial costs besides its pictures, with many workers and thousands of trials.

    python -m bench.fleet.scale [--workers 64] [--trials 10000] [--begin 0] [--seconds 6]

Starts PostgreSQL on this machine and as many processes as workers; all of them share its cores.
The sampler `frontier`, the runner and the database are those of `tuner run`; a measurement sleeps
for `--seconds` and returns made-up figures (`bench.fleet.landscape`), and workers import no torch.
With `--begin N` the study has N finished trials already, which are written directly. The workers
are forked from one process that has read the study, so that they share its memory and its
candidates; workers of `tuner run` each have their own.

Bookkeeping is what passes between two measurements of a worker: the end of a trial is stored, the
next setting is proposed, reserved and stored. The idle share is that of the workers' time in which
nothing is measured. The processor time of a worker is its own, without the server's.
"""

import argparse
import gc
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing import get_context
from typing import Any

import numpy as np
import optuna
import psutil

from bench.fleet.filled import fill
from bench.fleet.landscape import BATCH, PROMPTS, Landscape, shape_of_miniature
from bench.fleet.simulated import repeated
from tests.helpers.postgres import PostgreSQL, missing
from tuner.measure.measurement import Measurement
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.goal import Goal
from tuner.search.runner.run import Search
from tuner.search.samplers import sampler
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.results import read_results
from tuner.study.reuse import MEASURED

NAME = "scale"
SERVER = ("max_connections=300", "shared_buffers=256MB")  # four connections for each worker
BANDS = 5  # lines of the table


@dataclass
class Worker:
    """One simulated worker, which notes what each trial costs besides its measurement."""

    storage: Storage
    study: optuna.Study  # with the sampler `frontier`
    landscape: Landscape
    trials: int
    seconds: float
    number: int
    costs: list[tuple[int, float, float]] = field(default_factory=list)  # trial, wall, processor

    def run(self) -> dict[str, Any]:
        """Search until the study has its trials; returns what was noted."""
        for engine in (self.storage.engine, self.storage.optuna.engine):
            engine.dispose(close=False)  # connections of the process that this one is forked from
        self.study.sampler.reseed_rng()
        self._rng = np.random.default_rng(self.number)
        begin = self._ended = time.monotonic()
        self._processor = time.process_time()
        error = None
        try:
            self._search()
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        memory = psutil.Process().memory_full_info()
        return {
            "costs": self.costs,
            "seconds": time.monotonic() - begin,
            "error": error,
            "own_mib": memory.uss / 2**20,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        }

    def _search(self) -> None:
        problem = self.landscape.problem

        def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
            assert isinstance(self.study.sampler, FrontierSampler)
            self.study.sampler.prediction(self.study, setting)  # as `tuner run` asks for it
            return self._measure(setting, trial)

        Search(
            study=self.study,
            space=problem.space,
            goal=Goal(limits=problem.limits),
            measure=measure,
            canonical=problem.canonical,
            trials=self.trials,
            samples=PROMPTS,
            stops_early=True,
        ).run()

    def _measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        """A measurement that takes its time; notes what passed since the last one."""
        now, processor = time.monotonic(), time.process_time()
        self.costs.append((trial, now - self._ended, processor - self._processor))
        try:
            for measured in self.landscape.measure(setting, self._rng):
                time.sleep(self.seconds * BATCH / PROMPTS)
                yield measured
        finally:
            self._ended, self._processor = time.monotonic(), time.process_time()


def main() -> None:
    args = arguments()
    reason = missing()
    if reason is not None:
        raise SystemExit(reason)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    landscape = Landscape(shape_of_miniature())
    print(
        f"{datetime.now():%Y-%m-%d}, {os.cpu_count()} cores for all, load before "
        f"{os.getloadavg()[0]:.1f}; PostgreSQL, {args.workers} processes, trials of "
        f"{args.seconds:g} s, {args.begin} to {args.trials} trials",
        flush=True,
    )
    with PostgreSQL(SERVER) as server:
        storage = Storage(server.new_database())
        study = storage.open_study(NAME, {"made": "up"})
        if args.begin:
            fill(storage, study, landscape, args.begin)
        prepare(study, landscape)
        begin = time.monotonic()
        notes = run_workers(storage, study, landscape, args)
        print_table(notes, args, time.monotonic() - begin)
        print_check(storage, args)


def prepare(study: optuna.Study, landscape: Landscape) -> None:
    """Read the study and propose a setting, as a worker does that joins; print what that takes."""
    begin, processor = time.monotonic(), time.process_time()
    study.sampler = sampler("frontier", 0, landscape.problem)
    assert isinstance(study.sampler, FrontierSampler)
    study.sampler.propose(study, 0)
    read_results(study)
    print(
        f"to join the study: {time.monotonic() - begin:.1f} s, of which "
        f"{time.process_time() - processor:.1f} s of processor time",
        flush=True,
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--trials", type=int, default=10_000, help="of the study in the end")
    parser.add_argument("--begin", type=int, default=0, help="trials that it has at the start")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a measurement")
    return parser.parse_args()


def run_workers(
    storage: Storage, study: optuna.Study, landscape: Landscape, args: argparse.Namespace
) -> list[Any]:
    """What each of the workers noted; they are forked from this process, which has joined."""
    context = get_context("fork")
    queue: Any = context.SimpleQueue()
    for engine in (storage.engine, storage.optuna.engine):
        engine.dispose()
    gc.freeze()  # so that the processes share the memory
    workers = [
        Worker(storage, study, landscape, args.trials, args.seconds, number)
        for number in range(args.workers)
    ]
    processes = [
        context.Process(target=lambda worker=worker: queue.put(worker.run())) for worker in workers
    ]
    for process in processes:
        process.start()
    notes = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return notes


def print_table(notes: list[Any], args: argparse.Namespace, seconds: float) -> None:
    """Print what trials cost, by their numbers."""
    errors = [note["error"] for note in notes if note["error"] is not None]
    print(f"\nerrors of workers: {len(errors)}{''.join(f'; {error}' for error in set(errors))}")
    if not any(note["costs"] for note in notes):
        return
    costs = np.array([cost for note in notes for cost in note["costs"]])
    measured = len(costs) * args.seconds
    total = sum(note["seconds"] for note in notes)
    print("\n| trials | bookkeeping of a trial: median, 90% | processor time of its worker |")
    print("|---|---|---|")
    for part in np.array_split(costs[np.argsort(costs[:, 0])], BANDS):
        (first, *_), (last, *_) = part[0], part[-1]
        middle, most = np.quantile(part[:, 1], (0.5, 0.9))
        print(
            f"| {first:.0f} to {last:.0f} | {middle:.2f} s, {most:.2f} s "
            f"| {np.median(part[:, 2]):.2f} s |"
        )
    idle = max(0.0, 1 - measured / total)
    print(
        f"\n{len(costs)} trials in {seconds / 60:.1f} min, "
        f"{60 * len(costs) / seconds:.0f} per minute; idle share {idle:.0%} or more"
    )
    print(
        f"a process: {np.mean([note['own_mib'] for note in notes]):.0f} MiB of its own at the end, "
        f"{max(note['peak_mib'] for note in notes):.0f} MiB at most with what is shared"
    )


def print_check(storage: Storage, args: argparse.Namespace) -> None:
    """Print whether the study is as it should be."""
    trials = storage.study(NAME).get_trials(deepcopy=False)
    states = {
        state: sum(trial.state.name == state for trial in trials)
        for state in sorted({trial.state.name for trial in trials})
    }
    measured = [trial for trial in trials[args.begin :] if trial.state in MEASURED]
    print(f"states: {states}; settings measured twice: {repeated(measured)}")


if __name__ == "__main__":
    main()
