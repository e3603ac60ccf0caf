"""Queueing a trial again that was cut short."""

from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.storage.optuna_names import FIXED, POINT

RETRIES = 2  # how often a crashed trial is tried again
# Trial attributes
RESOLVES = "settles"  # number of the trial whose setting this one measures with more prompts
CUT_OFF = "cut_off"  # it ended before its time, and does not count; see `is_cut_off`
QUEUED = "queued"  # the setting that it was queued for, as accelerator → knob → value
TRIES = "tries"  # of a retry: how often its setting was tried, with this trial
GRID = (POINT, "search_space")  # the attributes by which Optuna's GridSampler identifies a point


def next_try(trial: FrozenTrial, *, counts: bool = True) -> FrozenTrial | None:
    """What to queue for a trial that was cut short: a trial of the same parameters.

    None after `RETRIES` retries. With `counts` false this try was not the trial's fault and is not
    counted as one.
    """
    stored = trial.user_attrs
    tries = int(stored.get(TRIES, 1))
    params, point = _params(trial), _point(trial)
    if RESOLVES in stored:  # the next run resolves what is still inconclusive
        return None
    if tries + counts > RETRIES + 1 or not (params or point):
        return None
    setting = stored.get("setting", stored.get(QUEUED))
    return create_trial(
        state=TrialState.WAITING,
        system_attrs={FIXED: params, **point},
        user_attrs={TRIES: tries + counts} | ({} if setting is None else {QUEUED: setting}),
    )


def is_cut_off(trial: FrozenTrial, retry: FrozenTrial | None) -> bool:
    """Whether a trial that ended before its time is not to count, because it lost nothing.

    It is queued again as `retry`, its process died before it had a setting, or it measured one with
    more prompts, which is decided anew.
    """
    had_setting = bool(_params(trial) or _point(trial))
    return retry is not None or not had_setting or RESOLVES in trial.user_attrs


def _params(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a trial has, or is to have."""
    return {**trial.system_attrs.get(FIXED, {}), **trial.params}


def _point(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes by which a trial has a point of a grid."""
    return {name: trial.system_attrs[name] for name in GRID if name in trial.system_attrs}
