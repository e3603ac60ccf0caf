"""Whether a stored trial makes measuring its setting again unnecessary."""

from collections.abc import Callable, Container

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.limits import Limits
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.storage.optuna_names import CONSTRAINTS
from tuner.study.baseline import Baseline, attributes
from tuner.study.results import FeasibleSettings
from tuner.study.schema import BEHIND, SETTING

MEASURED = (TrialState.COMPLETE, TrialState.PRUNED)


def measured_before(
    study: optuna.Study, setting: Setting, limits: Limits, *, timed_now: bool
) -> FrozenTrial | None:
    """A trial of the same setting whose figures can be used again.

    Preferably one that was timed under the current latency key, then the one with the most prompts.
    `timed_now` as in `still_holds`.
    """
    baseline = Baseline.of(attributes(study))
    feasible = FeasibleSettings(study, limits)
    params, by_number = setting.params, log_of(study).trial
    usable = [
        trial
        for trial in study.get_trials(deepcopy=False, states=MEASURED)
        if trial.user_attrs.get(SETTING) == params
        and still_holds(trial, by_number, baseline, feasible, timed_now=timed_now)
    ]

    def rank(trial: FrozenTrial) -> tuple[bool, int]:
        return baseline.is_of(trial.user_attrs), int(trial.user_attrs["prompts"])

    return max(usable, key=rank, default=None)


def still_holds(
    trial: FrozenTrial,
    by_number: Callable[[int], FrozenTrial],
    baseline: Baseline,
    feasible: Container[Setting],
    *,
    timed_now: bool,
) -> bool:
    """Whether a complete or stopped trial makes measuring its setting again unnecessary.

    `by_number` returns the study's trial of a number.

    A loss is the same on every machine: a setting that misses a limit of this run, which may be
    looser than the last one's, need not be measured again; a stopped trial without constraints
    counts as missing a limit. A trial that was stopped because it was behind another setting was
    slower on one machine: that counts under the same latency key only, and while the other setting
    is among the `feasible` ones. A complete trial that meets the limits counts under every latency
    key, or with `timed_now` under the current key only.
    """
    stopped, current = trial.state == TrialState.PRUNED, baseline.is_of(trial.user_attrs)
    behind = trial.user_attrs.get(BEHIND)
    if stopped and behind is not None:
        return current and Setting.of(by_number(behind).user_attrs[SETTING]) in feasible
    if not stopped and (current or not timed_now):
        return True
    return misses_a_limit(trial)


def misses_a_limit(trial: FrozenTrial) -> bool:
    """Whether a measured trial misses a limit; a stopped one without constraints does."""
    unknown = [1.0] if trial.state == TrialState.PRUNED else []
    return any(excess > 0 for excess in trial.system_attrs.get(CONSTRAINTS, unknown))
