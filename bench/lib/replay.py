"""A search on a truth table by the tuner's own runner: nothing is generated.

The study lies in memory, and a measurement takes its scores from the table and its speedup from the
table's latencies, scattered by one per cent. Each search draws its own prompts of the table: 64 on
offer to its trials, and others for verification. A trial of ours has 32 of the 64, and inconclusive
settings of the front are resolved with the rest when the search has ended; with the aim `front` all
trials have the same 32 and are resolved at once. A trial of another sampler has the same 32 always.
A setting is truly feasible when the upper end of its loss's 95 % interval over all stored prompts
is under the limit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna

from bench.lib.truth_table import LIMIT, TableSpace, TruthTable, area
from tuner.limits import Limits
from tuner.measure import statistics
from tuner.measure.measurement import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.deadline import Deadline
from tuner.search.frontier.context import Observation
from tuner.search.frontier.transfer import measured_observations
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.search.runner.run import Search
from tuner.search.runner.stopping import StoppingRule, measure_until_stopped
from tuner.search.runner.verify import verify
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.study.results import Result, read_results

LIMITS = Limits(score_loss=LIMIT)
PROMPTS = 32  # of every trial
MORE = 32  # further prompts for inconclusive settings; verification has 64 others
BATCH = 4  # prompts
SCATTER = 0.01  # of a measured speedup


@dataclass
class TableSearch:
    """One search on a table, with the prompts that it costs.

    It has arrived when a trial of a truly feasible setting that is at least 0.99 as fast as the
    fastest such one has ended without being stopped.
    """

    truth: TruthTable
    seed: int
    aim: Aim = "max"
    prompts: int = 0
    trials: int = 0
    arrived: tuple[int, int] | None = None  # trials and prompts
    evaluated: list[int] = field(default_factory=list)  # rows whose trials were not stopped
    study: optuna.Study | None = None  # of our own sampler

    def __post_init__(self) -> None:
        """Draw the prompts of this search."""
        self.random = np.random.default_rng(self.seed)
        order = self.random.permutation(self.truth.table.prompts)
        self._offered, self._others = order[: PROMPTS + MORE], order[PROMPTS + MORE :]

    def run(
        self,
        study: optuna.Study,
        trials: int,
        *,
        first: Sequence[Setting],
        whole: bool,
        resolves: bool = False,
    ) -> None:
        """Run a study of our own sampler by the tuner's runner.

        It ends when it has arrived, unless the `whole` search is asked for.
        """
        self.study = study
        Search(
            study=study,
            space=TableSpace.of_table(self.truth),
            goal=Goal(limits=LIMITS),
            measure=self.measure,
            canonical=lambda setting: setting,
            trials=trials,
            samples=PROMPTS,
            max_samples=PROMPTS + MORE if resolves else None,
            stops_early=True,
            resolves_at_once=self.aim == "front",
            first=first,
            deadline=_Arrival(self, whole),
            observer=_Arrived(self),
        ).run()

    def evaluate(self, row: int) -> Measurement:
        """A trial of another sampler: the 32 prompts at once, whatever they show."""
        numbers = self.random.permutation(self._offered[:PROMPTS])
        (measured,) = self._measured(row, numbers, PROMPTS)
        self.ended(row)
        return measured

    def raced(self, row: int) -> bool:
        """A trial that may be stopped early, without rivals; whether it was."""
        setting = self.truth.table.settings[row]
        rule = StoppingRule(limits=LIMITS, samples=PROMPTS, stops_early=True, setting=setting)
        _, answer = measure_until_stopped(self.measure(setting, 0), rule)
        return answer.stops

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        """What is known of a setting after each batch of its prompts."""
        row = self.truth.row[setting]
        yield from self._measured(row, self._drawn(row) if self.aim == "max" else self._same())

    def ended(self, row: int) -> None:
        """Note that a trial was not stopped, and whether the search has arrived."""
        self.trials += 1
        self.evaluated.append(row)
        good = self.truth.feasible[row] and self.truth.speedups[row] >= 0.99 * self.truth.best
        if good and self.arrived is None:
            self.arrived = (self.trials, self.prompts)

    def _drawn(self, row: int) -> np.ndarray:
        """The prompts of a row in their order, by batches as `Evaluation.measure` draws them."""
        rng = np.random.default_rng([self.seed, row])
        batches, count = self._offered.reshape(-1, BATCH), PROMPTS // BATCH
        others = rng.permutation(batches[1:])
        own = rng.permutation(np.vstack([batches[:1], others[: count - 1]]))
        drawn: np.ndarray = np.vstack([own, others[count - 1 :]]).ravel()
        return drawn

    def _same(self) -> np.ndarray:
        """The same prompts for every row, in an order of its own, and then the others."""
        first, more = self._offered[:PROMPTS], self._offered[PROMPTS:]
        return np.concatenate([self.random.permutation(first), more])

    def _measured(self, row: int, numbers: np.ndarray, batch: int = BATCH) -> Iterator[Measurement]:
        """What is known after each batch of these prompts; each costs its prompts."""
        before, after = self.truth.table.baseline[numbers], self.truth.table.scores[row][numbers]
        speedup = float(self.truth.speedups[row] * np.exp(self.random.normal(0, SCATTER)))
        low, high = (speedup * np.exp(end * SCATTER) for end in (-1.96, 1.96))
        for count in range(batch, len(numbers) + 1, batch):
            self.prompts += batch
            yield Measurement(
                prompts=count,
                score_loss=statistics.score_loss(before[:count].tolist(), after[:count].tolist()),
                speedup=Estimate(value=speedup, low=low, high=high),
                score=0.0,
                baseline_s=1.0,
                scores=[],
                numbers=list(range(count)),
                ratios=[],
                same_pictures=False,
            )

    @property
    def results(self) -> list[Result]:
        """The results of a search by our own sampler."""
        assert self.study is not None, "searched by another sampler"
        return read_results(self.study)

    def verified(self) -> Result | None:
        """The fastest result that holds on other prompts."""
        assert self.study is not None, "searched by another sampler"
        return verify(
            self.study,
            Goal(limits=LIMITS),
            lambda result: self._measured(self.truth.row[result.setting], self._others),
            lambda result: None,
            PROMPTS,
        )

    def observations(self) -> list[Observation]:
        """What a warm start takes over: of each setting its last measurement."""
        assert self.study is not None, "searched by another sampler"
        last = {seen.setting: seen for seen in measured_observations(self.study)}
        return list(last.values())

    def true_area(self) -> float:
        """The area of what was evaluated and is truly feasible, as a share of the true front's."""
        points = [
            (self.truth.speedups[row], self.truth.table.losses[row])
            for row in self.evaluated
            if self.truth.feasible[row]
        ]
        return area(points) / self.truth.area


class _Arrived(Observer):
    """Counts the trials of a search."""

    def __init__(self, search: TableSearch) -> None:
        self._search = search

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """Count a trial, and note one that was not stopped."""
        if result is None:
            self._search.trials += 1
        else:
            self._search.ended(self._search.truth.row[result.setting])


@dataclass(frozen=True)
class _Arrival(Deadline):
    """Ends a search that has arrived, unless the whole of it is wanted."""

    at: float | None = field(default=None, init=False)
    search: TableSearch
    whole: bool

    @property
    def passed(self) -> bool:
        """Whether no further trial is to be begun."""
        return self.search.arrived is not None and not self.whole
