"""Our own sampler: speed is predicted, so only quality is learned, and only where it pays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm

from tuner.limits import Limits
from tuner.search.frontier.acquisition import SPREAD, area_gains, expected_gain
from tuner.search.frontier.context import Observation, Scale, SearchContext, observation
from tuner.search.frontier.quality_model import QualityModel
from tuner.search.frontier.speed_model import SpeedModel, TimedSteps
from tuner.search.sweep.sweep import Ending
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.study.baseline import Baseline, attributes
from tuner.study.results import feasible_settings
from tuner.study.reuse import still_holds
from tuner.study.verifications import read_verifications

STOPPED_SHARE = 0.4  # of its prompts, that an infeasible trial costs on average
QUANTILES = (np.arange(16) + 0.5) / 16
LOOK_AROUND = 5  # settings whose neighbours are taken up
SURE = float(norm.ppf(0.975))  # standard errors under its limit: there a verdict is sure
NEAR = (
    2.0  # of `QualityModel.reach` from the limit: there a loss's error tells of others at the limit
)
LEAST = 3  # such losses, to tell it
_LEARNT = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A limit of a metric beside the score."""

    name: str
    limit: float
    above: bool  # the figure must be over it, not under it

    @property
    def sign(self) -> float:
        """What makes less of the figure better."""
        return -1.0 if self.above else 1.0


class FrontierSampler(BaseSampler, Ending):
    """Proposes the setting with the most expected gain.

    The speedup of every candidate is predicted from timed steps and measured trials
    (`SpeedModel`); the loss is learned by a Gaussian process over what a setting reuses. The
    gain is that in feasible speedup (aim `max`: constrained expected improvement, Gardner et al.,
    2014, with a known objective) for the prompts that it will cost, or in the area under the front
    (aim `front`: expected hypervolume improvement, Emmerich et al., 2006). Feasible is for the aim
    `max` what will surely be so with all the prompts that a trial may take. No computation is
    proposed twice, and what a study has from outside the space only teaches. Settings that other
    workers measure at this moment count as measured, with the loss that is expected of them.

    It reads of each trial the user attributes that `tuner.study.record` writes, `setting`,
    `score_loss` with `score_loss_ci`, `prompts` and `speedup`; a trial that was stopped early
    teaches too.
    """

    def __init__(
        self,
        knowledge: SearchContext,
        *,
        limit: float,
        bounds: Sequence[Bound] = (),
        aim: Aim = "max",
        has_target: bool = False,
        seed: int | None = None,
        timed: Sequence[TimedSteps] = (),
        related: Sequence[Observation] = (),
        samples: int | None = None,
        prompts: int | None = None,
    ) -> None:
        """`limit`: of the score loss; `bounds`: of the figures beside it.

        `has_target`: what was timed under another latency key than today's is measured again.

        `timed`: the steps timed at the study's start; `related`: a related study's trials;
        `samples`: the prompts of a trial; `prompts`: how many a verdict may take.
        """
        self._knowledge = knowledge
        self._limits = Limits(score_loss=limit, others={one.name: one.limit for one in bounds})
        self._aim = aim
        self._has_target = has_target
        self._timed = list(timed)
        self._samples = samples
        self._prompts = prompts
        self._random = np.random.default_rng(seed)
        self._independent = RandomSampler(seed)
        self._latency = SpeedModel(knowledge.work)
        reused = [knowledge.reuse(one) for one in knowledge.candidates]
        self._scale = Scale(reused)
        self._points = self._scale(reused)
        self._candidates = list(knowledge.candidates)
        self._totals = self._latency.totals(self._candidates)
        self._inside = np.array([knowledge.holds(one) for one in self._candidates])
        self._row = {one: row for row, one in enumerate(self._candidates)}
        summary = self._scale.summary
        self._surprise = QualityModel(
            0.0, unit=1.0, summary=summary
        )  # of the logarithm of a speedup
        self._seen_around: set[Setting] = set()
        self._taught: dict[int, Observation] = {}  # by a finished trial's number
        self._related = list(related)
        self._add([one.setting for one in self._related if one.setting.accelerators])
        earlier = [(one, one.loss, one.error) for one in self._related]
        self._losses = self._begun(QualityModel(limit, seed=seed or 0, summary=summary), earlier)
        self._bounds: dict[str, tuple[Bound, QualityModel]] = {}
        for bound in bounds:
            earlier = [
                (one, bound.sign * one.others[bound.name][0], one.others[bound.name][1])
                for one in self._related
                if bound.name in one.others
            ]
            losses = QualityModel(bound.sign * bound.limit, seed=seed or 0, summary=summary)
            losses = self._begun(losses, earlier)
            self._bounds[bound.name] = bound, losses

    def reseed_rng(self) -> None:
        """Draw anew, for another worker."""
        self._random = np.random.default_rng()
        self._independent.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All numbers are chosen together."""
        return dict(self._knowledge.distributions)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The numbers of the proposed setting; none for a trial whose numbers are given."""
        if "fixed_params" in trial.system_attrs or not search_space:
            return {}
        setting = self.propose(study, trial.number)
        return {} if setting is None else self._knowledge.flat(setting)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """At random: what is no part of the space, and everything once all was tried."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def propose(self, study: optuna.Study, number: int) -> Setting | None:
        """The next setting; None when every candidate was tried."""
        found, tried, running = self._read(study, number)
        self._look_around(found)
        left = self._left(tried)
        if not left.any():
            return None
        trials = [(one.setting, one.speedup) for one in found if one.speedup is not None]
        earlier = [(one.setting, one.speedup) for one in self._related if one.speedup is not None]
        self._latency.fit(self._timed, [*earlier, *trials])
        speedups = self._corrected(self._latency.speedups_of(self._totals), found)
        for one in found:
            if one.speedup is not None:
                speedups[self._row[one.setting]] = one.speedup
        if found:
            self._fit(self._losses, found)
        if running:
            means = self.expected(running)
            believed = [
                Observation(setting=one, loss=float(mean), error=0.0)
                for one, mean in zip(running, means, strict=True)
            ]
            self._fit(self._losses, [*found, *believed])
        mean, deviation = self._losses.predict(self._points)
        within = self._within_bounds(found)
        sure = self._losses.squeeze(np.array(self._limits.score_loss - self._margin(found)))
        feasible = norm.cdf((sure - mean) / deviation) * within
        rows = (self._row[one.setting] for one in found if one.holds)
        done = [row for row in rows if self._inside[row]]
        if self._aim == "max":
            gain = feasible * expected_gain(speedups, speedups[done], feasible[done])
        if self._aim == "front" or not (gain[left] > 1e-9).any():
            gain = within * self._area_gain(speedups, mean, deviation, done)
        if not (gain[left] > 1e-9).any():  # nothing is faster than the baseline: what is nearest
            gain = feasible * expected_gain(speedups, speedups[done], feasible[done], least=0.0)
        if self._aim == "max":
            gain = gain / (feasible + (1 - feasible) * STOPPED_SHARE)
        gain = np.where(left, gain + 1e-12 * self._random.random(len(gain)), -1.0)
        return self._candidates[int(np.argmax(gain))]

    def has_ended(self, study: optuna.Study) -> bool:
        """Whether every setting was tried; never where the candidates are a sample."""
        if self._knowledge.around is not None:
            return False
        _, tried, _ = self._read(study, number=-1)
        return not self._left(tried).any()

    def _left(self, tried: set[Setting]) -> np.ndarray:
        """By candidate: whether it may be proposed."""
        left = self._inside.copy()
        left[[self._row[one] for one in tried if one in self._row]] = False
        return left

    def expected(self, settings: Sequence[Setting]) -> np.ndarray:
        """The losses that are expected of settings."""
        mean, _ = self._losses.predict(self._points[[self._row[one] for one in settings]])
        return self._losses.stretch(mean)

    def _begun(
        self, losses: QualityModel, earlier: Sequence[tuple[Observation, float, float]]
    ) -> QualityModel:
        """The quality model begins with a related study's."""
        if not earlier:
            return losses
        reused = [
            self._knowledge.reuse(one.setting) if one.reused is None else one.reused
            for one, _, _ in earlier
        ]
        figures, errors = np.array([numbers for _, *numbers in earlier]).T
        losses.fit(self._scale(reused), figures, errors)
        return QualityModel(losses.limit, losses, seed=losses.seed, summary=losses.summary)

    def _add(self, settings: Sequence[Setting]) -> None:
        """Take up settings that are not among the candidates yet."""
        new = [one for one in dict.fromkeys(settings) if one not in self._row]
        if new:
            self._row |= {one: row for row, one in enumerate(new, len(self._candidates))}
            self._candidates += new
            points = self._scale([self._knowledge.reuse(one) for one in new])
            self._points = np.vstack([self._points, points])
            self._totals = np.vstack([self._totals, self._latency.totals(new)])
            inside = [self._knowledge.holds(one) for one in new]
            self._inside = np.concatenate([self._inside, inside])

    def _look_around(self, found: Sequence[Observation]) -> None:
        """Where the candidates are a sample, take up what lies beside the fastest good ones."""
        if self._knowledge.around is not None:
            good = [
                one
                for one in found
                if one.loss < self._limits.score_loss and one.speedup is not None
            ]
            for one in sorted(good, key=lambda one: -(one.speedup or 0))[:LOOK_AROUND]:
                if one.setting not in self._seen_around:
                    self._seen_around.add(one.setting)
                    self._add(self._knowledge.around(one.setting))

    def _fit(self, losses: QualityModel, found: Sequence[Observation]) -> None:
        losses.fit(
            self._points[[self._row[one.setting] for one in found]],
            np.array([one.loss for one in found]),
            np.array([one.error for one in found]),
        )

    def _margin(self, found: Sequence[Observation]) -> float:
        """How far under the limit a loss is surely so, with all the prompts that a trial may take.

        A setting whose verdict stays open is no good answer, and there may be many such. The errors
        of losses near the limit tell, of those from half of a trial's prompts on if there are
        enough: fewer prompts do not know their own scatter.
        """
        half = (self._samples or 0) / 2
        for known, least in ((found, half), (self._related, half), (found, 0.0)):
            errors = [
                one.error * self._share(one) ** 0.5
                for one in known
                if abs(one.loss - self._limits.score_loss) < NEAR * self._losses.reach
                and (one.prompts or least) >= least
            ]
            if len(errors) >= LEAST:
                return SURE * float(np.median(errors))
        return 0.0

    def _share(self, one: Observation) -> float:
        """How much of the prompts that a verdict may take it took; all where that is not known."""
        return min(1.0, one.prompts / self._prompts) if one.prompts and self._prompts else 1.0

    def _corrected(self, speedups: np.ndarray, found: Sequence[Observation]) -> np.ndarray:
        """Predictions moved to what was measured nearby, where steps alone do not tell.

        An accelerator that decides by the picture what it computes is not predicted by its plan.
        """
        known = [one for one in found if one.speedup is not None]
        rows = [self._row[one.setting] for one in known]
        off = np.log([one.speedup or 1.0 for one in known]) - np.log(speedups[rows])
        if len(known) < 3 or np.median(np.abs(off)) < 2 * SPREAD:
            return speedups
        self._surprise.fit(self._points[rows], off, np.full(len(known), SPREAD))
        mean, _ = self._surprise.predict(self._points)
        moved: np.ndarray = speedups * np.exp(self._surprise.stretch(mean))
        return moved

    def _within_bounds(self, found: Sequence[Observation]) -> np.ndarray:
        """The probability, by candidate, that the figures beside the score are within limits."""
        probability = np.ones(len(self._candidates))
        for name, (bound, losses) in self._bounds.items():
            known = [one for one in found if name in one.others]
            if known:
                losses.fit(
                    self._points[[self._row[one.setting] for one in known]],
                    np.array([bound.sign * one.others[name][0] for one in known]),
                    np.array([one.others[name][1] for one in known]),
                )
            mean, deviation = losses.predict(self._points)
            probability *= norm.cdf(-mean / deviation)
        return probability

    def _read(
        self, study: optuna.Study, number: int
    ) -> tuple[list[Observation], set[Setting], list[Setting]]:
        """What trials taught, every setting that was begun, and those that run elsewhere."""
        found: dict[Setting, Observation] = {}
        tried: set[Setting] = set()
        running: list[Setting] = []
        again = read_verifications(study)
        baseline = Baseline.of(attributes(study))
        feasible = cache(lambda: feasible_settings(study, self._limits))
        for one in study.get_trials(deepcopy=False):
            kept = one.user_attrs
            if one.number == number or "setting" not in kept:
                continue
            if one.number not in self._taught and one.state in _LEARNT and "score_loss" in kept:
                self._taught[one.number] = observation(kept)
            taught = self._taught.get(one.number)
            if one.number in again:  # the first look was the best of many; this one was not chosen
                kept = {**kept, **again[one.number]}
                taught = observation(kept)
            if taught is not None and self._has_target and not baseline.is_of(kept):
                taught = replace(taught, speedup=None, holds=False)
            setting = Setting.of(kept["setting"]) if taught is None else taught.setting
            if one.state not in _LEARNT or self._still_holds(one, study, baseline, feasible):
                tried.add(setting)
            if setting not in self._row:
                if not setting.accelerators:
                    continue
                self._add([setting])
            if taught is not None:
                if setting not in found or not taught.fewer(found[setting]):
                    found[setting] = taught
            elif one.state == TrialState.RUNNING:
                running.append(setting)
        return list(found.values()), tried, running

    def _still_holds(
        self,
        trial: FrozenTrial,
        study: optuna.Study,
        baseline: Baseline,
        feasible: Callable[[], set[Setting]],
    ) -> bool:
        return still_holds(trial, study, baseline, feasible, timed_now=self._has_target)

    def _area_gain(
        self, speedups: np.ndarray, mean: np.ndarray, deviation: np.ndarray, done: list[int]
    ) -> np.ndarray:
        """Expected gain in the area between the front, no speedup and the limit."""
        known = [
            (speedups[row], float(self._losses.stretch(mean[row])))
            for row in done
            if mean[row] < 0 and speedups[row] > 1
        ]
        losses = self._losses.stretch(mean[:, None] + deviation[:, None] * norm.ppf(QUANTILES))
        gains: np.ndarray = area_gains(speedups, losses, known, self._limits.score_loss).mean(
            axis=1
        )
        return gains
