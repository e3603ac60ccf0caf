"""What a replay of the whole product costs: the next point, and what the storage takes for a trial.

    python -m bench.search.grid [--trials 1000,10000,50000] [--repetitions 200]

The product is the old script's of 1,036,800 points. A study is filled up with copies of the rows
of trials that went through the loop, each with a point of its own; then more trials run through
the loop, with a measurement that is made up and takes no time. Times are those of the one thread
(not of the clock on the wall). "Next point" is the sampler's part: how far the study is, its place
in the database moved and given to a trial, and the setting made of it; the median. "Distinct" is
the same for a grid of distinct computations, with those that it passes by. "Storage" is all that
is left of a trial; "grows" is how much more memory the process has after these trials. Beside them
stands Optuna's own sampler for the same product: what it does after one trial of a study in
memory, where reading the trials costs nothing.

At the end what the whole replay would need. The storage's time for a trial grows with their number,
because Optuna counts the trials before each new one; it is summed up along a straight line.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
from optuna.trial import TrialState
from sqlalchemy import text

from bench.lib.miniature import MODEL, conditions, pipeline, quiet
from tuner.canonical import computation_of
from tuner.measure.device import PeakMemory
from tuner.measure.measurement import Measurement
from tuner.measure.statistics import Estimate
from tuner.plans.plan import shape_of
from tuner.search.goal import Goal
from tuner.search.runner.run import Search
from tuner.search.space import Space
from tuner.search.sweep.estimate import span
from tuner.search.sweep.grid import DistinctGrid, Grid
from tuner.search.sweep.sweep import Points
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.optuna_names import POINT
from tuner.study.results import read_results

SPEC = StudySpec(pipe="SD1.5", sampler="grid")
SPACE = Space.of(SPEC)
POINTS = Points(SPACE.offered())
REAL = 50  # trials of the loop whose rows are copied
STUDY = "grid"
HEAD = (
    "| trials | next point, ms | distinct, ms | Optuna's, ms | next point's memory, kB "
    "| storage, ms a trial | database, bytes a trial | grows, MB |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was measured with so many trials in the study."""

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
    """A study of the whole product with as many trials as are wanted."""

    def __init__(self, folder: Path) -> None:
        """Runs a few trials through the loop, to be copied."""
        self.file = folder / "tuner.db"
        self.storage = Storage(f"sqlite:///{self.file}")
        self.study = self.storage.open_sweep(STUDY, {})
        self.study.sampler = self.sampler = Grid(SPACE, POINTS, SPEC.seed)
        shape = shape_of(pipeline("DDIM"), MODEL.resolution)
        self.distinct = DistinctGrid(
            SPACE, POINTS, SPEC.seed, lambda one: computation_of(one, shape, SPEC.steps)
        )
        self.run(REAL)

    def run(self, trials: int) -> None:
        """So many trials more."""
        Search(
            study=self.study,
            space=SPACE,
            goal=Goal.of(SPEC),
            measure=made_up,
            canonical=lambda setting: setting,
            trials=log_of(self.study).finished() + trials,
            samples=SPEC.num_samples,
        ).run()

    def fill(self, count: int) -> None:
        """Copy the first trials' rows until there are so many; each trial gets the next point."""
        first, passed = log_of(self.study).finished(), self.sampler.reach(self.study).passed
        new = [
            {
                "trial": number + 1,
                "number": number,
                "model": number % REAL + 1,
                "point": str(self.sampler.order[passed + place]),
                "key": POINT,
            }
            for place, number in enumerate(range(first, count))
        ]
        with self.storage.engine.begin() as connection:
            for copy in COPIES:
                connection.execute(text(copy), new)
            moved = {"value": str(passed + len(new))}
            connection.execute(
                text("UPDATE study_system_attributes SET value_json = :value"), moved
            )

    def cost(self, repetitions: int) -> Cost:
        """What the next trials cost."""
        trials, size = log_of(self.study).finished(), self.size()
        self.run(20)  # what is made once is made
        process = psutil.Process()
        before = process.memory_info().rss
        begin = time.thread_time()
        self.run(repetitions)
        whole_ms = (time.thread_time() - begin) / repetitions * 1000
        grown = process.memory_info().rss - before
        next_ms = self.next_ms(self.sampler, repetitions)
        tracemalloc.start()
        self.next_ms(self.sampler, 5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.distinct.begin(self.study)
        return Cost(
            trials=trials,
            next_ms=next_ms,
            distinct_ms=self.next_ms(self.distinct, repetitions),
            optunas_ms=in_a_child(optunas_ms, trials),
            next_kb=peak / 1e3,
            storage_ms=whole_ms - next_ms,
            trial_bytes=size / trials,
            grows_mb=grown / 1e6,
        )

    def next_ms(self, sampler: Grid, repetitions: int) -> float:
        """The sampler's part of a trial; the trial's own row is there already."""
        seconds = []
        for _ in range(repetitions):
            trial = log_of(self.study).begin({}, {})
            stored = log_of(self.study).stored(trial)
            begin = time.thread_time()
            left = sampler.reach(self.study).left
            point = sampler.cursor(self.study).take(stored, sampler.find)
            assert point is not None and left > 0
            SPACE.setting(POINTS[point])
            seconds.append(time.thread_time() - begin)
            self.study.tell(trial, state=TrialState.FAIL)
        return statistics.median(seconds) * 1000

    def size(self) -> int:
        """Bytes of the database, with nothing beside it."""
        with self.storage.engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        return self.file.stat().st_size


COPIES = (
    "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
    "SELECT :trial, :number, study_id, state, datetime_start, datetime_complete FROM trials "
    "WHERE trial_id = :model",
    "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) "
    "SELECT :trial, param_name, param_value, distribution_json FROM trial_params "
    "WHERE trial_id = :model",
    "INSERT INTO trial_values (trial_id, objective, value, value_type) "
    "SELECT :trial, objective, value, value_type FROM trial_values WHERE trial_id = :model",
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
    "SELECT :trial, key, value_json FROM trial_user_attributes WHERE trial_id = :model",
    "INSERT INTO trial_system_attributes (trial_id, key, value_json) "
    "SELECT :trial, key, CASE key WHEN :key THEN :point ELSE value_json END "
    "FROM trial_system_attributes WHERE trial_id = :model",
)


def made_up(setting: Setting, trial: int) -> Iterator[Measurement]:
    """As many figures as a trial keeps, none of them measured."""
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
        scores=[33 * (1 - loss) + place / 10 for place in range(count)],
        numbers=list(range(count)),
        ratios=[speedup] * 3,
        denoising=Estimate(value=speedup, low=speedup - 0.01, high=speedup + 0.01),
        baseline_denoising_s=2.5,
        memory=PeakMemory(device=4.2, host=2.1),
        same_pictures=False,
    )


def in_a_child(work: Callable[[Any], Any], argument: Any) -> Any:
    """In a process of its own, whose memory goes with it."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(work, (argument,))


def optunas_ms(trials: int) -> float:
    """What Optuna's sampler does after a trial of a study in memory, where trials cost nothing."""
    offered = {name: list(values) for name, values in SPACE.offered().items()}
    sampler = optuna.samplers.GridSampler(offered, seed=SPEC.seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for number in range(trials):
        kept = {POINT: number, "search_space": offered}
        study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, system_attrs=kept))
    last = study.get_trials(deepcopy=False)[-1]
    begin = time.thread_time()
    sampler.after_trial(study, last, TrialState.FAIL, None)
    return (time.thread_time() - begin) * 1000


def reading(url: str) -> tuple[int, float, float]:
    """How many results there are, and the seconds and MB that reading them takes."""
    study = Storage(url).study(STUDY)
    before = psutil.Process().memory_info().rss
    begin = time.thread_time()
    count = len(read_results(study))
    seconds = time.thread_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return count, seconds, (peak - before) / 1e6


def extrapolation(costs: list[Cost]) -> str:
    """What all of the product would need."""
    counts = np.array([one.trials for one in costs], float)
    slope, base = np.polyfit(counts, [one.storage_ms for one in costs], 1)
    whole = POINTS.count
    storage_s = (base * whole + max(slope, 0.0) * whole**2 / 2) / 1000
    choosing_s = costs[-1].next_ms * whole / 1000
    return (
        f"All {whole:,} points: {span(choosing_s)} for choosing and {span(storage_s)} for the "
        f"storage, at {base:.1f} ms a trial and {slope * 1e6:.1f} ms more for every million; "
        f"{costs[-1].trial_bytes * whole / 1e9:.1f} GB of the database."
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
    took = f"{seconds:.0f} s, {megabytes:.0f} MB"
    print(f"Reading {count:,} results, as at the end of a run: {took}.")


if __name__ == "__main__":
    main()
