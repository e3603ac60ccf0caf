"""Our own sampler: speed is predicted, so that trials are spent on learning the quality only."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from tuner.formatting import short_percent
from tuner.limits import Limits
from tuner.measure.prediction import Prediction
from tuner.search.frontier.context import Observation, SearchContext, timings_of
from tuner.search.frontier.feasibility import Bound, Feasibility
from tuner.search.frontier.history import History, TrialHistory
from tuner.search.frontier.improvement import Improvements
from tuner.search.frontier.second_look import most_prompts, to_look_at, unlucky
from tuner.search.frontier.speed_error import SpeedError
from tuner.search.frontier.speed_model import SpeedModel, TimedSteps, spread
from tuner.search.frontier.table import CandidateTable, fastest_good
from tuner.search.sweep.sweep import Ending
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.storage.log import log_of
from tuner.storage.optuna_names import FIXED
from tuner.study.schema import SETTING

# A probability to reach the target, from which it pays to verify before any search: a failure costs
# little, because the baseline that came with it serves the verification at the search's end.
LIKELY = 0.25
# How often a proposal adds the neighbours of the best candidates, where these are a sample of a
# large space: the best setting may be none of the sample.
CLIMBS = 3
CLIMBING = 5  # settings whose neighbours are added each time


class FrontierSampler(BaseSampler, Ending):
    """Proposes the setting with the greatest expected improvement.

    The speedup of every candidate is predicted from timed steps and measured trials
    (`SpeedModel`); the loss is modelled by a Gaussian process over what a setting reuses
    (`QualityModel`). With the aim `max` the improvement is that in feasible speedup (constrained
    expected improvement, Gardner et al., 2014, with a known objective), divided by the seconds that
    the trial is expected to cost. A setting counts as feasible there if the 95% interval that is
    expected at the maximum number of prompts lies under the limit. With the aim `combinations` it
    is that of each combination of accelerators, and with the aim `front` it is that in the area
    under the front (expected hypervolume improvement, Emmerich et al., 2006).

    No computation is proposed twice. Trials outside of the space train the models and are never
    proposed. Of settings that other workers measure at this moment the losses are drawn from the
    model, together, and the improvement is the mean over several such draws (Snoek et al., 2012). A
    proposal is reserved, so that no two workers measure one setting at the same time.

    Of each trial it reads the user attributes that `tuner.study.record` writes: `setting`,
    `score_loss` with `score_loss_ci`, `prompts` and `speedup`. Trials that were stopped early
    train the models too.
    """

    _ranked: History | None = None  # what the improvements follow from
    _spread = 0.0  # of predicted speedups, as `Improvements.of` takes it
    _gain = 0.0  # of `Improvement`, the share
    _has_converged = False  # settings are left, of which none gains enough

    def __init__(
        self,
        context: SearchContext,
        *,
        limit: float,
        bounds: Sequence[Bound] = (),
        aim: Aim = "max",
        target: Callable[[], float] | None = None,
        min_gain: float | None = None,
        seed: int | None = None,
        timed: Sequence[TimedSteps] = (),
        warm_start: Sequence[Observation] = (),
        num_samples: int | None = None,
        max_samples: int | None = None,
    ) -> None:
        """`limit`: of the score loss; `bounds`: the limits of extra metrics.

        `target`: the speedup that ends the search, where one does: the proposal is then the setting
        that is the most likely to reach it within the limits, and what was timed under another
        latency key may be measured again. `min_gain`: it ends once no setting is expected to gain
        this share (Jones et al., 1998).

        `timed`: steps that were timed; `warm_start`: the trials of a source study; `num_samples`:
        prompts of a trial; `max_samples`: of a setting at most.
        """
        self._context = context
        self._limits = Limits(score_loss=limit, others={b.name: b.limit for b in bounds})
        self._min_gain = min_gain
        self._looks_again = target is not None and aim == "max"
        self._most_prompts = most_prompts(num_samples, max_samples)
        self._timed = list(timed)
        self._warm_start = list(warm_start)
        self._rng = np.random.default_rng(seed)
        self._independent = RandomSampler(seed)
        # Those of `Improvement`, for all rows.
        self._value = self._reaching = self._holding = self._holding_at_once = np.zeros(0)
        self._speed = SpeedModel(context.work)
        self._table = CandidateTable(context, self._speed)
        self._history = TrialHistory(self._limits, self._table.same, has_target=target is not None)
        self._table.add(result.setting for result in warm_start if result.setting.accelerators)
        self._speed_error = SpeedError(self._table)
        self._feasibility = Feasibility(
            context,
            self._table,
            limit=limit,
            bounds=bounds,
            warm_start=self._warm_start,
            num_samples=num_samples,
            max_samples=max_samples,
            seed=seed or 0,
        )
        self._improvements = Improvements(
            table=self._table,
            feasibility=self._feasibility,
            aim=aim,
            limit=limit,
            target=target,
            warm_start=[result for result in warm_start if result.setting.accelerators],
        )

    def reseed_rng(self) -> None:
        """Seed from the operating system, in another worker."""
        self._rng = np.random.default_rng()
        self._independent.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All numbers of the space: they are chosen together."""
        return dict(self._context.distributions)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The numbers of the proposed setting; none for a queued trial, which has them."""
        if FIXED in trial.system_attrs or not search_space:
            return {}
        setting, refusals = self.propose(study, trial.number), 0
        # Another worker may have chosen the same one meanwhile, which the next proposal knows. With
        # many workers that begin at once it is the next best after that: a proposal takes long.
        log = log_of(study)
        while setting is not None and not log.reserve(trial, SETTING, setting.params):
            if log.trial(trial.number).state.is_finished():
                return {}  # another worker has marked it as failed, which its end will show
            again = self.propose if refusals == 0 else self._next_best
            setting, refusals = again(study, trial.number), refusals + 1
        return {} if setting is None else self._context.flat(setting)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random number: for what is not in the space, and once every setting was tried."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def propose(self, study: optuna.Study, number: int) -> Setting | None:
        """A setting for the trial of this number; None when every candidate was tried."""
        untried = self._rank(self._read(study, number))
        return self._best(untried)

    def likely(self, study: optuna.Study) -> Setting | None:
        """What a study without results verifies, if that is likely to reach the target.

        Of such settings it prefers those that a verification may show to reach it at once. One
        whose trial was interrupted is not left out.
        """
        untried = self._rank(replace(self._read(study), tried=set()))
        if not untried.any():
            return None
        value = self._holding + self._holding_at_once
        row = int(np.argmax(np.where(untried, value, -1.0)))
        return self._table.settings[row] if self._holding[row] >= LIKELY else None

    def second_look(self, study: optuna.Study) -> tuple[Setting, int] | None:
        """With a target, a setting that missed a limit and is still the likeliest to reach it."""
        history = self._read(study)
        if missed := self._missed(history):
            self._rank(history)
            return unlucky(self._table, history, self._reaching, missed)
        return None

    def _missed(self, history: History) -> dict[Setting, int]:
        return to_look_at(history, self._most_prompts) if self._looks_again else {}

    def _rank(self, history: History) -> np.ndarray:
        """Compute by how much each row improves the result; returns which rows are untried."""
        results = history.observations
        is_new = history != self._ranked or len(self._value) != len(self._table.settings)
        if is_new:
            self._table.expand(fastest_good(results, self._limits.score_loss))
        untried, rows = self._untried(history)
        if is_new and len(rows):
            timed = timings_of([*self._warm_start, *results])
            self._speed.fit(self._timed, timed)
            self._spread = spread([timing for _, timing in timed])
            self._feasibility.fit(results, history.running)
            self._compute(history, rows)
            for _ in range(CLIMBS):
                best = np.argsort(np.where(untried, self._value, -1.0))[-CLIMBING:]
                if not self._table.expand([self._table.settings[row] for row in best]):
                    break
                self._feasibility.predict()
                untried, rows = self._untried(history)
                self._compute(history, rows)
        self._ranked = history
        return untried

    def _untried(self, history: History) -> tuple[np.ndarray, np.ndarray]:
        """Which rows are untried, and the numbers of these and of those for a second look."""
        untried = self._table.untried(history.tried)
        missed = self._table.mask(self._missed(history))
        return untried, np.flatnonzero(untried | missed)

    def _compute(self, history: History, rows: np.ndarray) -> None:
        """Compute by how much these rows improve the result, by the models as they are fitted."""
        speedups = self._predict_speedups(history.observations)
        self._value = 1e-12 * self._rng.random(len(speedups))
        improvement = self._improvements.of(speedups, self._spread, history, rows)
        self._value[rows] += improvement.value
        untried = self._table.untried(history.tried)[rows]
        self._gain = float(improvement.share[untried].max(initial=0.0))
        self._reaching, self._holding, self._holding_at_once = np.zeros((3, len(speedups)))
        self._reaching[rows] = improvement.reaching
        self._holding[rows] = improvement.holding
        self._holding_at_once[rows] = improvement.holding_at_once

    def _next_best(self, study: optuna.Study, number: int) -> Setting | None:
        """The best setting by the last proposal's improvements that was not tried since."""
        tried = self._read(study, number).tried
        return self._best(self._table.untried(tried)[: len(self._value)])

    def _best(self, untried: np.ndarray) -> Setting | None:
        if not untried.any():
            return None
        return self._table.settings[int(np.argmax(np.where(untried, self._value, -1.0)))]

    def has_ended(self, study: optuna.Study) -> bool:
        """Whether every setting was tried, or none is expected to improve the result by `min_gain`.

        Where the candidates are a sample, there are always others to try.
        """
        is_sample = self._context.neighbours is not None
        if self._min_gain is None:
            is_left = is_sample or self._table.untried(self._read(study).tried).any()
            return not is_left and self.second_look(study) is None
        history = self._read(study)
        are_left = bool(self._rank(history).any())
        gains_little = bool(history.observations) and self._gain < self._min_gain
        self._has_converged = are_left and gains_little
        is_over = self._has_converged or not (are_left or is_sample)
        return is_over and self.second_look(study) is None

    def why_ended(self) -> str:
        """Why there is nothing left to propose."""
        if not self._has_converged:
            return super().why_ended()
        share = short_percent(self._min_gain or 0.0)
        return f"no setting is expected to improve the result by {share}"

    def expected(self, settings: Sequence[Setting]) -> np.ndarray:
        """The expected score losses of settings."""
        return self._feasibility.expected(settings)

    def _read(self, study: optuna.Study, number: int | None = None) -> History:
        """The study's trials; their settings have rows then."""
        history = self._history.read(study, number)
        self._table.add(history.settings)
        return history

    def _predict_speedups(self, results: Sequence[Observation]) -> np.ndarray:
        """The speedup of every row: measured where it was, else predicted."""
        speedups = self._speed_error.corrected(self._speed.speedups_of(self._table.totals), results)
        for result in results:
            if result.speedup is not None:
                speedups[self._table.row(result.setting)] = result.speedup
        return speedups

    def prediction(self, study: optuna.Study, setting: Setting) -> Prediction | None:
        """What is expected of a setting's speedup, before it is measured.

        None where that cannot be told: no steps were timed, or what the setting computes depends on
        its pictures. Trials that were timed under another latency key are left out.
        """
        if not self._timed or not self._context.predictable(setting):
            return None
        results = [result for result in self._read(study).observations if result.timed_now]
        self._speed.fit(self._timed, timings_of(results))
        return self._speed.prediction(setting, [(r.setting, r.timing) for r in results])
