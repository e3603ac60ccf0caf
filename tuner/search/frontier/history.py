"""What the trials of a study mean to the frontier sampler."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.limits import Limits
from tuner.search.frontier.context import Observation, observation
from tuner.setting import Setting
from tuner.study.baseline import Baseline, attributes
from tuner.study.results import feasible_settings
from tuner.study.reuse import MEASURED, still_holds
from tuner.study.verifications import read_verifications


@dataclass(frozen=True, kw_only=True)
class History:
    """A study's trials, as the sampler sees them."""

    observations: list[Observation]  # one for each measured setting
    tried: set[Setting]  # that must not be proposed again
    running: list[Setting]  # that other workers measure at this moment
    settings: list[Setting]  # of all trials, in their order, without the baseline's


class TrialHistory:
    """Reads a study's trials; what a finished trial says is read once.

    `limits` decide whether an earlier trial's verdict still holds. With `has_target` a setting
    that was timed under another latency key may be proposed again.
    """

    def __init__(self, limits: Limits, *, has_target: bool) -> None:
        self._limits = limits
        self._has_target = has_target
        self._finished: dict[int, Observation] = {}  # by a trial's number

    def read(self, study: optuna.Study, number: int | None = None) -> History:
        """All trials but that of this `number`, for which a setting is to be proposed."""
        observations: dict[Setting, Observation] = {}
        history = History(observations=[], tried=set(), running=[], settings=[])
        verifications = read_verifications(study)
        baseline = Baseline.of(attributes(study))
        feasible = cache(lambda: feasible_settings(study, self._limits))
        for trial in study.get_trials(deepcopy=False):
            stored = trial.user_attrs
            if trial.number == number or "setting" not in stored:
                continue
            result = self._observation(trial)
            # The setting was chosen because its first result was good, which may have been luck;
            # the verification has no such bias.
            if trial.number in verifications:
                stored = {**stored, **verifications[trial.number]}
                result = observation(stored)
            if result is not None and not baseline.is_of(stored):
                result = replace(result, timed_now=False)
                if self._has_target:
                    result = replace(result, speedup=None, timing=None, current=False)
            setting = Setting.of(stored["setting"]) if result is None else result.setting
            if trial.state not in MEASURED or self._still_holds(trial, study, baseline, feasible):
                history.tried.add(setting)
            if not setting.accelerators:
                continue
            history.settings.append(setting)
            if result is not None:
                earlier = observations.get(setting)
                if earlier is None or not result.is_superseded_by(earlier):
                    observations[setting] = result
            elif trial.state == TrialState.RUNNING:
                history.running.append(setting)
        history.observations.extend(observations.values())
        return history

    def _observation(self, trial: FrozenTrial) -> Observation | None:
        """The figures of a finished trial; None for one that has none."""
        unread = trial.number not in self._finished
        if unread and trial.state in MEASURED and "score_loss" in trial.user_attrs:
            self._finished[trial.number] = observation(trial.user_attrs)
        return self._finished.get(trial.number)

    def _still_holds(
        self,
        trial: FrozenTrial,
        study: optuna.Study,
        baseline: Baseline,
        feasible: Callable[[], set[Setting]],
    ) -> bool:
        return still_holds(trial, study, baseline, feasible, timed_now=self._has_target)
