"""A study in a database whose measurements are simulated: the tuner's runner without any model.

A trial sleeps for as long as a real one would take and returns figures of a truth table
(`bench.lib.table_search`). Everything else is what `tuner run` does: the sampler proposes, the
trial is stored with its heartbeats, and several processes search one study. A `SimulatedStudy` can
be sent to another process, which then imports neither torch nor diffusers.

`Witness` writes down which trials have ended, independently of the database.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from bench.lib.table_costs import BATCH, PROMPTS
from bench.lib.table_search import LIMITS, MORE, TableSearch
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, TableSpace, TruthTable
from bench.search.searches import known, probes
from tuner.measure.measurement import Measurement
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer, Observers
from tuner.search.runner.run import Search
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.schema import SAME_AS, SETTING

TABLE = "all-DDIM-20"  # the largest: settings of three accelerators
BATCHES = PROMPTS // BATCH  # of a trial that is not stopped early


@dataclass(frozen=True, kw_only=True)
class SimulatedStudy:
    """A study of a truth table in a database, and how long its trials take."""

    storage: str  # the database's address
    truth: TruthTable
    trials: int  # finished trials that the study is to have
    seconds: float  # of a trial that is not stopped early
    sampler: str = "frontier"  # or 'random'
    seed: int = 0
    stops_early: bool = False
    witness: Path | None = None  # the file of a `Witness`
    name: str = "simulated"
    notice: Callable[[str], None] = print  # of the database's outages
    sleep: Callable[[float], None] = time.sleep  # while a batch is measured

    def open(self) -> optuna.Study:
        """The study, created where there is none."""
        storage = Storage(self.storage)
        storage.patience.begin(self.notice)
        return storage.open_study(self.name, {"table": self.truth.product.name})

    def run(self, observer: Observer | None = None) -> None:
        """Run trials until the study has enough; several processes may do so at the same time."""
        study = self.open()
        # Workers that begin at the same moment are not to draw the same settings.
        seed = hash((self.seed, os.getpid())) % 2**32
        table = TableSearch(self.truth, seed)
        table.study = study
        study.sampler = self._sampler(table, seed)
        observers: list[Observer] = [] if observer is None else [observer]
        if self.witness is not None:
            observers.append(Witness(self.witness))
        Search(
            study=study,
            space=TableSpace.of_table(self.truth),
            goal=Goal(limits=LIMITS),
            measure=self._slowed(table),
            canonical=lambda setting: setting,
            trials=self.trials,
            samples=PROMPTS,
            stops_early=self.stops_early,
            first=known(self.truth),
            observer=Observers(observers),
        ).run()

    def _slowed(self, table: TableSearch) -> Any:
        """The table's measurement, each batch of which takes its time."""

        def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
            measurements = table.measure(setting, trial)
            while True:
                self.sleep(self.seconds / BATCHES)
                measured = next(measurements, None)
                if measured is None:
                    return
                yield measured

        return measure

    def _sampler(self, table: TableSearch, seed: int) -> BaseSampler:
        if self.sampler == "random":
            return RandomSampler(seed)
        return FrontierSampler(
            self.truth.context,
            limit=LIMIT,
            seed=seed,
            timed=probes(self.truth, table, known(self.truth)),
            num_samples=PROMPTS,
            max_samples=PROMPTS + MORE,
        )


class Witness(Observer):
    """Appends a line to a file once the end of a trial is stored, for whoever counts trials.

    A line is written by one call, so that lines of several processes do not mix.
    """

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def trial_stored(self, trial: FrozenTrial) -> None:
        """Write down a trial that ended."""
        line = {
            "trial": trial.number,
            "state": trial.state.name,
            "values": trial.values if trial.state == TrialState.COMPLETE else None,
            "process": os.getpid(),
            "time": time.time(),
        }
        os.write(self._file, f"{json.dumps(line)}\n".encode())


def witnessed(file: Path) -> list[dict[str, Any]]:
    """What a `Witness` wrote down, one entry for each trial that ended."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def truth_table(name: str = TABLE) -> TruthTable:
    """A truth table, complete with what a worker would compute from it at its start."""
    (product,) = [product for product in PRODUCTS if product.file.stem == name]
    truth = TruthTable.of(product)
    for cached in ("row", "speedups", "feasible", "by_index", "index"):
        getattr(truth, cached)
    return truth


def repeated(trials: Sequence[FrozenTrial]) -> int:
    """How many trials measured a setting that another one measured, too."""
    measured = [
        str(trial.user_attrs[SETTING])
        for trial in trials
        if SETTING in trial.user_attrs and SAME_AS not in trial.user_attrs
    ]
    return len(measured) - len(set(measured))
