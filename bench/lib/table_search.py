"""A simulated search on a truth table by the tuner's own runner: nothing is generated.

The study lies in memory. A measurement takes its scores from the table. Its speedup is what the
sampler predicts, together with pairs of batches whose ratios are the table's with a noise of 2%; a
setting of another sampler has one such pair, and a prediction that is off by as much. Each search
draws its own 64 prompts of the table; the others are for verification. The sampler `frontier`
measures each setting on 32 of the 64, and inconclusive settings of the front are resolved with the
rest when the search has ended; with the aim `front` all settings have the same 32, and inconclusive
ones are resolved at once. The other samplers measure every setting on the same 32. A setting is
truly feasible when the upper end of its loss's 95% interval over all stored prompts is under the
limit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna

from bench.lib.table_costs import BATCH, PROMPTS, TableCosts
from bench.lib.truth_table import LIMIT, TableSpace, TruthTable, area
from tuner.limits import Limits
from tuner.measure import statistics
from tuner.measure.account import Purpose
from tuner.measure.measurement import Measurement
from tuner.measure.prediction import Prediction
from tuner.search.deadline import Deadline
from tuner.search.frontier.context import Observation
from tuner.search.frontier.sampler import FrontierSampler
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
MORE = 32  # further prompts for inconclusive settings; verification uses the others
SCATTER = 0.02  # of the ratio of one pair of batches


@dataclass
class TableSearch:
    """One search on a table; counts its trials and the prompts that it generates.

    It has arrived when a trial has ended, without being stopped, whose setting is looked for
    (`TruthTable.is_looked_for`).
    """

    truth: TruthTable
    seed: int
    aim: Aim = "max"
    prompts: int = 0
    trials: int = 0
    costs: TableCosts = field(default_factory=TableCosts)
    # Trials, prompts, and device time with a verification, in units of the baseline's.
    arrived: tuple[int, int, float] | None = None
    evaluated: list[int] = field(default_factory=list)  # rows whose trials were not stopped
    study: optuna.Study | None = None  # of the sampler `frontier`

    def __post_init__(self) -> None:
        """Draw the prompts of this search."""
        self.random = np.random.default_rng(self.seed)
        order = self.random.permutation(self.truth.table.prompts)
        self._offered, self._others = order[: PROMPTS + MORE], order[PROMPTS + MORE :]
        self.begin()

    def begin(self) -> None:
        """Count the baseline of the prompts for searching, where it was not."""
        self.costs.begin(self._offered[:PROMPTS])

    def run(
        self,
        study: optuna.Study,
        trials: int,
        *,
        first: Sequence[Setting],
        whole: bool,
        resolves: bool = False,
    ) -> None:
        """Run a study of the sampler `frontier` with the tuner's runner.

        It ends when it has arrived; with `whole`, after all trials.
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
            aim=self.aim,
            first=first,
            deadline=_UntilArrived(self, whole),
            observer=_TrialCounter(self),
        ).run()

    def evaluate(self, row: int) -> Measurement:
        """A trial of another sampler: all 32 prompts at once, never stopped early."""
        numbers = self.random.permutation(self._offered[:PROMPTS])
        (measured,) = self._measured(row, numbers, PROMPTS)
        self.ended(row)
        return measured

    def is_stopped_early(self, row: int) -> bool:
        """Run a trial that may be stopped early, without rivals; returns whether it was."""
        setting = self.truth.table.settings[row]
        rule = StoppingRule(limits=LIMITS, samples=PROMPTS, stops_early=True, setting=setting)
        _, answer = measure_until_stopped(self.measure(setting, 0), rule)
        return answer.stops

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        """The measurement of a setting after each batch of its prompts."""
        row = self.truth.row[setting]
        yield from self._measured(row, self._drawn(row) if self.aim == "max" else self._same())

    def ended(self, row: int) -> None:
        """Count a trial that ended without being stopped; check whether the search has arrived."""
        self.trials += 1
        self.evaluated.append(row)
        if self.truth.is_looked_for[row] and self.arrived is None:
            total = self.costs.with_verification(self.truth.speedups[row])
            self.arrived = (self.trials, self.prompts, total)

    def _drawn(self, row: int) -> np.ndarray:
        """The prompts of a row, drawn in batches as `Evaluation.measure` draws them."""
        rng = np.random.default_rng([self.seed, row])
        batches, count = self._offered.reshape(-1, BATCH), PROMPTS // BATCH
        others = rng.permutation(batches[1:])
        own = rng.permutation(np.vstack([batches[:1], others[: count - 1]]))
        drawn: np.ndarray = np.vstack([own, others[count - 1 :]]).ravel()
        return drawn

    def _same(self) -> np.ndarray:
        """The same 32 prompts for every row, in random order, and then the further ones."""
        first, more = self._offered[:PROMPTS], self._offered[PROMPTS:]
        return np.concatenate([self.random.permutation(first), more])

    def _measured(
        self,
        row: int,
        numbers: np.ndarray,
        batch: int = BATCH,
        purpose: Purpose = Purpose.SCORED,
    ) -> Iterator[Measurement]:
        """The measurement after each batch of these prompts; counts what is generated."""
        before, after = self.truth.table.baseline[numbers], self.truth.table.scores[row][numbers]
        predicted, true = self._prediction(row), float(self.truth.speedups[row])
        own = numbers[:PROMPTS].tolist()
        # No pair is needed, or batches without a baseline will be pairs.
        pairs_come = not predicted.pair or not self.costs.baseline_of.issuperset(own)
        ratios: list[float] = []
        verifies = purpose == Purpose.VERIFICATION
        for count in range(batch, len(numbers) + 1, batch):
            now = numbers[count - batch : count]
            missing = self.costs.baseline(now, purpose if verifies else Purpose.BASELINE)
            is_paired = not pairs_come and count == min(2 * BATCH, PROMPTS // batch * batch)
            if is_paired or batch == PROMPTS:
                self.costs.pictures(Purpose.TIMING, BATCH)
            if missing or is_paired or batch == PROMPTS:
                ratios = [*ratios, true * float(np.exp(self.random.normal(0, SCATTER)))]
            self.costs.pictures(purpose, batch, true)
            self.prompts += batch
            yield Measurement(
                prompts=count,
                score_loss=statistics.score_loss(before[:count].tolist(), after[:count].tolist()),
                speedup=predicted.combined(ratios, SCATTER),
                speedup_from="model",
                score=0.0,
                baseline_s=1.0,
                scores=[],
                numbers=list(range(count)),
                ratios=ratios,
                predicted=predicted.claimed,
                same_pictures=False,
            )

    def _prediction(self, row: int) -> Prediction:
        """The sampler's prediction of a speedup; for another sampler, one that is as good."""
        setting = self.truth.table.settings[row]
        if self.study is not None and isinstance(self.study.sampler, FrontierSampler):
            predicted = self.study.sampler.prediction(self.study, setting)
            if predicted is not None:
                return predicted
        speedup = self.truth.speedups[row] * np.exp(self.random.normal(0, SCATTER))
        return Prediction(speedup=float(speedup), spread=SCATTER)

    @property
    def results(self) -> list[Result]:
        """The results of a search by the sampler `frontier`."""
        assert self.study is not None, "only searches by `frontier` have a study"
        return read_results(self.study)

    def verified(self) -> Result | None:
        """The fastest result that is feasible on the prompts for verification; counts these."""
        assert self.study is not None, "only searches by `frontier` have a study"
        return verify(
            self.study,
            Goal(limits=LIMITS),
            lambda result, rule: self.verifying(result.setting),
            lambda result: None,
            PROMPTS,
            len(self._others),
        )

    def verifying(self, setting: Setting) -> Iterator[Measurement]:
        """The measurement of a setting after each batch of the prompts for verification."""
        row = self.truth.row[setting]
        return self._measured(row, self._others, purpose=Purpose.VERIFICATION)

    def observations(self) -> list[Observation]:
        """What a warm start takes over: the last measurement of each setting."""
        assert self.study is not None, "only searches by `frontier` have a study"
        last = {
            observation.setting: observation for observation in measured_observations(self.study)
        }
        return list(last.values())

    def true_area(self) -> float:
        """The area of all truly feasible results, as a share of the true front's area."""
        points = [
            (self.truth.speedups[row], self.truth.table.losses[row])
            for row in self.evaluated
            if self.truth.feasible[row]
        ]
        return area(points) / self.truth.area


class _TrialCounter(Observer):
    """Counts the trials of a search."""

    def __init__(self, search: TableSearch) -> None:
        self._search = search

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """Count a trial; one with a result was not stopped."""
        if result is None:
            self._search.trials += 1
        else:
            self._search.ended(self._search.truth.row[result.setting])


@dataclass(frozen=True)
class _UntilArrived(Deadline):
    """Ends a search that has arrived, unless the `whole` search is to run."""

    at: float | None = field(default=None, init=False)
    search: TableSearch
    whole: bool

    @property
    def passed(self) -> bool:
        """Whether no further trial is to be begun."""
        return self.search.arrived is not None and not self.whole
