"""Whether several workers find as good a front with as many trials as one worker does.

    python -m bench.fleet.quality [--workers 1,4] [--seeds 20] [--trials 50]

Searches on truth tables by the sampler `frontier` and the tuner's runner, in simulated time
(`bench.fleet.clock`): in one process, without sleeping. A trial takes as long as its pictures would
(`bench.lib.table_costs`), and while it runs the other workers propose settings without its result.
A proposal takes no simulated time. Each seed draws the prompts of a search and seeds its samplers.

With the aim `front` the quality is the area under the front of truly feasible settings, as a share
of the true front's; with the aim `max` the speedup of the fastest truly feasible setting, as a
share of the fastest one's. Both count the first trials that ended, equally many for each number of
workers. Differences are paired by seed, with 95% intervals of Student's t.
"""

import argparse
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import optuna
from scipy.stats import t

from bench.fleet.clock import Clock
from bench.lib.miniature import conditions, quiet
from bench.lib.table_costs import PROMPTS
from bench.lib.table_search import LIMITS, MORE, TableSearch
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, TableSpace, TruthTable, area
from bench.search.searches import known, probes
from tuner.measure.measurement import Measurement
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.search.runner.run import Search
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.study.results import Result

TABLES = "all-DDIM-20,tgate-DDIM-20,deepcache-tome-DDIM-20"


class Crew(Observer):
    """Some workers that search one study on a truth table, in simulated time.

    `ended` lists the rows of trials in the order in which they ended; None for one that was stopped
    early.
    """

    def __init__(self, truth: TruthTable, seed: int, aim: Aim, workers: int, trials: int) -> None:
        self.truth, self.seed, self.aim, self.trials = truth, seed, aim, trials
        self.clock = Clock()
        self.ended: list[int | None] = []
        self.measured: list[Setting] = []
        self._table = TableSearch(truth, seed, aim=aim)
        self._first = known(truth)[:1] if aim == "max" else known(truth)
        self._timed = probes(truth, self._table, self._first)
        self.before = self._table.costs.total  # spent before the first trial
        self._storage = optuna.storages.InMemoryStorage()
        self._study(0)
        self.clock.run([partial(self._work, number) for number in range(workers)])

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """Note a trial that ended."""
        self.ended.append(None if result is None else self.truth.row[result.setting])

    def best(self) -> float:
        """The speedup of the fastest truly feasible setting, relative to the table's."""
        rows = self._found()
        return max((self.truth.speedups[row] for row in rows), default=1.0) / self.truth.best

    def area(self) -> float:
        """The area under the front of truly feasible settings, relative to the table's."""
        points = [(self.truth.speedups[row], self.truth.table.losses[row]) for row in self._found()]
        return area(points) / self.truth.area

    def _found(self) -> list[int]:
        rows = self.ended[: self.trials]
        return [row for row in rows if row is not None and self.truth.feasible[row]]

    def _study(self, worker: int) -> optuna.Study:
        """The study with the sampler of a worker."""
        sampler = FrontierSampler(
            self.truth.context,
            limit=LIMIT,
            aim=self.aim,
            seed=self.seed if worker == 0 else 1000 * worker + self.seed,
            timed=self._timed,
            num_samples=PROMPTS,
            max_samples=PROMPTS + MORE,
        )
        return optuna.create_study(
            study_name="one",
            storage=self._storage,
            directions=["maximize", "minimize"],
            sampler=sampler,
            load_if_exists=True,
        )

    def _work(self, worker: int) -> None:
        study = self._study(worker)
        Search(
            study=study,
            space=TableSpace.of_table(self.truth),
            goal=Goal(limits=LIMITS),
            measure=lambda setting, trial: self._measure(study, setting, trial),
            canonical=lambda setting: setting,
            trials=self.trials,
            samples=PROMPTS,
            stops_early=True,
            aim=self.aim,
            first=self._first,
            observer=self,
        ).run()

    def _measure(self, study: optuna.Study, setting: Setting, trial: int) -> Iterator[Measurement]:
        """The table's measurement, each batch of which takes the time of its pictures."""
        self.measured.append(setting)
        costs, measurements = self._table.costs, self._table.measure(setting, trial)
        while True:
            before = costs.total
            self._table.study = study  # whose sampler predicts the speedup
            measured = next(measurements, None)
            if measured is None:
                return
            self.clock.sleep(costs.total - before)
            yield measured


def main() -> None:
    args = arguments()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(
        f"{conditions()}; limit {LIMIT:.0%}, {args.seeds} seeds, {args.trials} trials, "
        "simulated time\n"
    )
    for name in args.tables.split(","):
        (product,) = [product for product in PRODUCTS if product.file.stem == name]
        truth = TruthTable.of(product)
        print(f"## {name}: {len(truth.table.settings)} settings, {truth.feasible.sum()} feasible\n")
        for aim in ("front", "max"):
            print_aim(truth, aim, args)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--tables", default=TABLES)
    return parser.parse_args()


def print_aim(truth: TruthTable, aim: Aim, args: argparse.Namespace) -> None:
    """Print a table with a line for each number of workers."""
    print(f"| workers | {QUALITY[aim]}: mean, least | minus that of the first line ", end="")
    print(
        "| settings measured twice | simulated time in B | s a trial |\n|---|---|---|---|---|---|"
    )
    first: np.ndarray | None = None
    for workers in map(int, args.workers.split(",")):
        begin = time.monotonic()
        crews = [Crew(truth, seed, aim, workers, args.trials) for seed in range(args.seeds)]
        seconds = (time.monotonic() - begin) / sum(len(crew.ended) for crew in crews)
        quality = np.array([crew.area() if aim == "front" else crew.best() for crew in crews])
        first = quality if first is None else first
        twice = sum(len(crew.measured) - len(set(crew.measured)) for crew in crews)
        hours = np.mean([crew.clock.now for crew in crews])
        print(
            f"| {workers} | {quality.mean():.3f}, {quality.min():.3f} "
            f"| {difference(quality - first)} | {twice} | {hours:.1f} | {seconds:.2f} |",
            flush=True,
        )
    print()


QUALITY = {"front": "area under the front", "max": "fastest feasible speedup"}


def difference(paired: np.ndarray) -> str:
    """The mean of paired differences, and its 95% interval."""
    half = t.ppf(0.975, len(paired) - 1) * paired.std(ddof=1) / len(paired) ** 0.5
    return f"{paired.mean():+.3f} ({paired.mean() - half:+.3f} … {paired.mean() + half:+.3f})"


if __name__ == "__main__":
    main()
