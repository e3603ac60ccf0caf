"""What an exhaustive sweep costs besides its pictures: choosing points, and storing trials.

    python -m bench.search.grid [--trials 1000,10000,50000] [--repetitions 200]

The product is the old script's, with 1,036,800 points. A study is filled with copies of trials that
the runner ran, each copy with a point of its own. Then further trials run through the runner, with
an invented measurement that takes no time. Copying takes 15 to 30 ms a trial: up to 25 minutes
before the 50,000th. Times are CPU times of the main thread. The columns:

- next point: what the sampler does for a trial, as a median: read how many points are done, move
  the position in the database, assign the point to the trial, decode it as a setting;
- distinct: the same for a grid of distinct computations, including the points that it skips;
- Optuna's: what Optuna's own sampler does after a trial of the same product; the study lies in
  memory, where reading trials costs nothing;
- next point's memory: the peak of Python's allocations while the next point is chosen;
- storage: the rest of a trial's time, which is spent on reading and writing the database;
- grows: by how much the process's memory grew while these trials ran.

At the end an estimate for the whole sweep. Optuna counts the trials before it adds one, so that the
storage's time for a trial grows with their number; it is extrapolated along a straight line.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import text

from bench.lib.miniature import MODEL, conditions, pipeline, quiet
from tuner.canonical import computation_of
from tuner.formatting import span
from tuner.measure.device import PeakMemory
from tuner.measure.measurement import Measurement
from tuner.measure.statistics import Estimate
from tuner.plans.plan import shape_of
from tuner.search.goal import Goal
from tuner.search.runner.run import Search
from tuner.search.space import Space
from tuner.search.sweep.grid import DistinctGrid, Grid
from tuner.search.sweep.sweep import Points
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.optuna_names import POINT
from tuner.study.results import read_results

STEPS = 50
SPEC = StudySpec(pipe="SD1.5", sampler="grid", steps=STEPS)
SPACE = Space.of(SPEC)
POINTS = Points(SPACE.offered())
TEMPLATES = 50  # trials that the runner ran, to be copied
STUDY = "grid"
HEAD = (
    "| trials | next point, ms | distinct, ms | Optuna's, ms | next point's memory, kB "
    "| storage, ms a trial | database, bytes a trial | grows, MB |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The figures of a study with this number of trials."""

    trials: int
    next_ms: float
    distinct_ms: float
    optunas_ms: float
    next_kb: float
    storage_ms: float
    trial_bytes: float
    grows_mb: float

    def __str__(self) -> str:
        """A line of the table."""
        return (
            f"| {self.trials:,} | {self.next_ms:.2f} | {self.distinct_ms:.2f} "
            f"| {self.optunas_ms:,.0f} | {self.next_kb:.0f} | {self.storage_ms:.1f} "
            f"| {self.trial_bytes:,.0f} | {self.grows_mb:.1f} |"
        )


class Filled:
    """A study of the whole product, which can be filled with trials."""

    def __init__(self, folder: Path) -> None:
        """Runs a few trials, which `fill` copies."""
        self.file = folder / "tuner.db"
        self.storage = Storage(f"sqlite:///{self.file}")
        self.study = self.storage.open_sweep(STUDY, {})
        self.study.sampler = self.sampler = Grid(SPACE, POINTS, SPEC.seed)
        shape = shape_of(pipeline("DDIM"), MODEL.resolution)
        self.distinct = DistinctGrid(
            SPACE, POINTS, SPEC.seed, lambda setting: computation_of(setting, shape, STEPS)
        )
        self.run(TEMPLATES)
        self.templates = self.study.get_trials(deepcopy=False)

    def run(self, trials: int) -> None:
        """Run this number of further trials."""
        Search(
            study=self.study,
            space=SPACE,
            goal=Goal.of(SPEC),
            measure=invented,
            canonical=lambda setting: setting,
            trials=log_of(self.study).finished() + trials,
            samples=SPEC.num_samples,
        ).run()

    def fill(self, count: int) -> None:
        """Add copies of the first trials until there are `count`; each gets the next point."""
        first, passed = log_of(self.study).finished(), self.sampler.reach(self.study).passed
        copies = max(0, count - 1 - first)
        self.study.add_trials(
            create_trial(
                state=template.state,
                values=template.values,
                params=template.params,
                distributions=template.distributions,
                user_attrs=template.user_attrs,
                system_attrs=template.system_attrs | {POINT: self.sampler.order[passed + number]},
            )
            for number, template in zip(range(copies), cycle(self.templates), strict=False)
        )
        # The last trial is no copy: it takes the point after theirs, which moves the position.
        with self.trial_without_point() as trial:
            point = self.sampler.find(passed + copies)
            self.sampler.cursor(self.study).take(trial, lambda _: point)

    @contextmanager
    def trial_without_point(self) -> Iterator[FrozenTrial]:
        """A running trial that has no point yet; it fails at the end of the ``with`` block."""
        self.study.sampler = RandomSampler()  # the sweep's sampler would give it a point
        trial = log_of(self.study).begin({}, {})
        self.study.sampler = self.sampler
        yield log_of(self.study).stored(trial)
        self.study.tell(trial, state=TrialState.FAIL)

    def cost(self, repetitions: int) -> Cost:
        """The figures of the next trials."""
        trials, size = log_of(self.study).finished(), self.size()
        self.run(20)  # a warm-up
        process = psutil.Process()
        before = process.memory_info().rss
        begin = time.thread_time()
        self.run(repetitions)
        whole_ms = (time.thread_time() - begin) / repetitions * 1000
        grown = process.memory_info().rss - before
        next_ms = self.next_ms(self.sampler, repetitions)
        self.distinct.begin(self.study)
        return Cost(
            trials=trials,
            next_ms=next_ms,
            distinct_ms=self.next_ms(self.distinct, repetitions),
            optunas_ms=in_a_child(optunas_ms, trials),
            next_kb=self.next_kb(),
            storage_ms=whole_ms - next_ms,
            trial_bytes=size / trials,
            grows_mb=grown / 1e6,
        )

    def next_ms(self, sampler: Grid, repetitions: int) -> float:
        """The sampler's time for a trial whose row in the database exists already; a median."""
        seconds = []
        for _ in range(repetitions):
            with self.trial_without_point() as trial:
                begin = time.thread_time()
                self.choose(sampler, trial)
                seconds.append(time.thread_time() - begin)
        return statistics.median(seconds) * 1000

    def next_kb(self) -> float:
        """The peak of what Python allocates while the next point is chosen."""
        with self.trial_without_point() as trial:
            tracemalloc.start()
            self.choose(self.sampler, trial)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return peak / 1e3

    def choose(self, sampler: Grid, trial: FrozenTrial) -> None:
        """What happens in each trial of a sweep until its setting is known."""
        left = sampler.reach(self.study).left
        point = sampler.cursor(self.study).take(trial, sampler.find)
        assert point is not None and left > 0
        SPACE.setting(POINTS[point])

    def size(self) -> int:
        """Bytes of the database file, after its write-ahead log was merged into it."""
        with self.storage.engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        return self.file.stat().st_size


def invented(setting: Setting, trial: int) -> Iterator[Measurement]:
    """All figures that a trial stores, none of them measured."""
    spread = (trial * 0.618) % 1
    speedup, loss = 1 + spread, spread / 10
    count = SPEC.num_samples
    yield Measurement(
        prompts=count,
        speedup=Estimate(value=speedup, low=speedup - 0.01, high=speedup + 0.01),
        score_loss=Estimate(value=loss, low=loss - 0.01, high=loss + 0.01),
        baseline_s=2.6,
        score=33 * (1 - loss),
        fidelity={},
        scores=[33 * (1 - loss) + prompt / 10 for prompt in range(count)],
        numbers=list(range(count)),
        ratios=[speedup] * 3,
        denoising=Estimate(value=speedup, low=speedup - 0.01, high=speedup + 0.01),
        baseline_denoising_s=2.5,
        memory=PeakMemory(device=4.2, host=2.1),
        same_pictures=False,
    )


def in_a_child(work: Callable[[Any], Any], argument: Any) -> Any:
    """Call `work` in a child process, so that its memory is freed with the process."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(work, (argument,))


def optunas_ms(trials: int) -> float:
    """Milliseconds of Optuna's sampler after the last of so many trials of a study in memory."""
    offered = {name: list(values) for name, values in SPACE.offered().items()}
    sampler = optuna.samplers.GridSampler(offered, seed=SPEC.seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for number in range(trials):
        attributes = {POINT: number, "search_space": offered}
        study.add_trial(create_trial(state=TrialState.FAIL, system_attrs=attributes))
    last = study.get_trials(deepcopy=False)[-1]
    begin = time.thread_time()
    sampler.after_trial(study, last, TrialState.FAIL, None)
    return (time.thread_time() - begin) * 1000


def reading(url: str) -> tuple[int, float, float]:
    """The number of results, and the seconds and MB that reading all of them takes."""
    study = Storage(url).study(STUDY)
    before = psutil.Process().memory_info().rss
    begin = time.thread_time()
    count = len(read_results(study))
    seconds = time.thread_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return count, seconds, (peak - before) / 1e6


def extrapolation(costs: list[Cost]) -> str:
    """An estimate of what a sweep of the whole product takes."""
    counts = np.array([cost.trials for cost in costs], float)
    slope, base = np.polyfit(counts, [cost.storage_ms for cost in costs], 1)
    whole = POINTS.count
    storage_s = (base * whole + max(slope, 0.0) * whole**2 / 2) / 1000
    choosing_s = costs[-1].next_ms * whole / 1000
    return (
        f"All {whole:,} points: {span(choosing_s)} for choosing them and {span(storage_s)} for the "
        f"storage, at {base:.1f} ms a trial and {slope * 1e6:.1f} ms more for every million; "
        f"the database takes {costs[-1].trial_bytes * whole / 1e9:.1f} GB."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", default="1000,10000,50000")
    parser.add_argument("--repetitions", type=int, default=200)
    args = parser.parse_args()
    quiet()
    print(f"{conditions()}; {POINTS.count:,} points, {args.repetitions} repetitions\n\n{HEAD}")
    with tempfile.TemporaryDirectory() as folder:
        study = Filled(Path(folder))
        costs = []
        for count in map(int, args.trials.split(",")):
            study.fill(count)
            costs.append(study.cost(args.repetitions))
            print(costs[-1], flush=True)
        count, seconds, megabytes = in_a_child(reading, study.storage.url)
    print(f"\n{extrapolation(costs)}")
    needed = f"{seconds:.0f} s, {megabytes:.0f} MB"
    print(f"Reading {count:,} results, as at the end of a run: {needed}.")


if __name__ == "__main__":
    main()
