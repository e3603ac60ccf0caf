"""What the trials of a study mean to the frontier sampler."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import UsageError
from tuner.limits import Limits
from tuner.search.frontier.context import Observation, observation
from tuner.setting import Setting
from tuner.storage.retries import CUT_OFF, QUEUED, RESOLVES, RETRIES
from tuner.study.baseline import Baseline, attributes
from tuner.study.results import FeasibleSettings
from tuner.study.reuse import MEASURED, misses_a_limit, still_holds
from tuner.study.schema import BEHIND, SETTING, VERIFIED
from tuner.study.verifications import read_verifications


@dataclass(frozen=True, kw_only=True)
class Missed:
    """A single trial of a setting that missed a limit."""

    trial: int
    prompts: int


@dataclass(frozen=True, kw_only=True)
class History:
    """A study's trials, as the sampler sees them."""

    observations: list[Observation]  # one for each measured setting
    tried: set[Setting]  # that must not be proposed again
    missed: dict[Setting, Missed]  # of these, that missed a limit in a single trial
    running: list[Setting]  # that other workers measure at this moment
    settings: list[Setting]  # of all trials, in their order, without the baseline's


@dataclass(kw_only=True)
class _Ended:
    """What the trials that have ended say; each of them was read once."""

    numbers: set[int] = field(default_factory=set)
    observations: dict[Setting, Observation] = field(default_factory=dict)
    tried: set[Setting] = field(default_factory=set)
    missed: dict[Setting, Missed] = field(default_factory=dict)
    measured_again: set[Setting] = field(default_factory=set)  # or it failed
    cut_off: Counter[Setting] = field(default_factory=Counter)  # how often that was cut short
    settings: list[Setting] = field(default_factory=list)
    # Trials that were stopped because they were behind another setting, which may not count later.
    behind: list[tuple[Setting, FrozenTrial]] = field(default_factory=list)


class TrialHistory:
    """Reads a study's trials; what a finished trial says is read once.

    `limits` decide whether an earlier trial's verdict still holds. `same` returns the object that
    stands for all equal settings. With `has_target` a setting
    that was timed under another latency key may be proposed again.
    """

    def __init__(
        self, limits: Limits, same: Callable[[Setting], Setting], *, has_target: bool
    ) -> None:
        self._limits = limits
        self._same = same
        self._has_target = has_target
        self._ended = _Ended()
        self._basis: tuple[Any, ...] = ()  # of the study's attributes, what `_ended` depends on

    def read(self, study: optuna.Study, number: int | None = None) -> History:
        """All trials but that of this `number`, for which a setting is to be proposed."""
        study_attrs = attributes(study)
        baseline = Baseline.of(study_attrs)
        basis = (baseline.latency_key, baseline.old_key, study_attrs.get(VERIFIED))
        if basis != self._basis:
            self._ended, self._basis = _Ended(), basis
        trials = study.get_trials(deepcopy=False)
        ended = self._ended
        new = [trial for trial in trials if trial.number not in ended.numbers]
        self._read_ended([trial for trial in new if trial.state.is_finished()], study, baseline)
        unfinished = [trial for trial in new if not trial.state.is_finished()]
        feasible = FeasibleSettings(study, self._limits)
        running = [
            Setting.of(trial.user_attrs[SETTING])
            for trial in unfinished
            if trial.number != number and SETTING in trial.user_attrs
        ]
        holding = {
            setting
            for setting, trial in ended.behind
            if still_holds(trial, trials.__getitem__, baseline, feasible, timed_now=True)
        }
        return History(
            observations=list(ended.observations.values()),
            tried=ended.tried | holding | set(running) | _queued(unfinished),
            missed={
                setting: missed
                for setting, missed in ended.missed.items()
                if setting not in ended.measured_again
                and ended.cut_off[setting] <= RETRIES
                and setting not in running
            },
            running=[setting for setting in running if setting.accelerators],
            settings=[*ended.settings, *(setting for setting in running if setting.accelerators)],
        )

    def _read_ended(
        self, trials: Sequence[FrozenTrial], study: optuna.Study, baseline: Baseline
    ) -> None:
        """Add trials that have ended to what such trials say."""
        verifications, ended = read_verifications(study), self._ended
        for trial in trials:
            ended.numbers.add(trial.number)
            stored = trial.user_attrs
            if SETTING not in stored:
                continue
            # The setting was chosen because its first result was good, which may have been luck;
            # the verification has no such bias.
            stored = {**stored, **verifications.get(trial.number, {})}
            measured = trial.number in verifications or trial.state in MEASURED
            result = observation(stored) if measured and "score_loss" in stored else None
            if result is not None and not baseline.is_of(stored):
                result = replace(result, timed_now=False)
                if self._has_target:
                    result = replace(result, speedup=None, timing=None, current=False)
            setting = Setting.of(stored[SETTING]) if result is None else result.setting
            setting = self._same(setting)
            self._note_tried(setting, trial, baseline)
            if RESOLVES in stored and CUT_OFF in stored:
                ended.cut_off[setting] += 1
            elif RESOLVES in stored or trial.number in verifications:
                ended.measured_again.add(setting)
            elif trial.state in MEASURED and BEHIND not in stored and misses_a_limit(trial):
                ended.missed[setting] = Missed(
                    trial=trial.number, prompts=stored.get("prompts") or 0
                )
            if not setting.accelerators:
                continue
            ended.settings.append(setting)
            earlier = ended.observations.get(setting)
            if result is not None and (earlier is None or not result.is_superseded_by(earlier)):
                ended.observations[setting] = replace(result, setting=setting)

    def _note_tried(self, setting: Setting, trial: FrozenTrial, baseline: Baseline) -> None:
        """Note whether a setting must not be proposed again, or that this may change."""
        ended = self._ended
        if trial.state == TrialState.PRUNED and BEHIND in trial.user_attrs:
            ended.behind.append((setting, trial))
        elif trial.state not in MEASURED or still_holds(
            trial, _none, baseline, (), timed_now=self._has_target
        ):
            ended.tried.add(setting)


def _none(number: int) -> FrozenTrial:
    """The verdict on a trial that was not behind another one depends on no other trial."""
    raise KeyError(number)


def _queued(unfinished: Sequence[FrozenTrial]) -> set[Setting]:
    """The settings that are queued; without those whose accelerator is not installed here."""
    settings = set()
    for trial in unfinished:
        if trial.state == TrialState.WAITING and QUEUED in trial.user_attrs:
            try:
                settings.add(Setting.of(trial.user_attrs[QUEUED]))
            except UsageError:
                continue
    return settings
