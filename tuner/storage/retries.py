"""What is queued for a trial that was cut short, and what a queued trial stands for."""

from optuna.trial import FrozenTrial, TrialState, create_trial

RETRIES = 2  # a crashed trial is tried again this often
RESOLVES = "settles"  # trial attribute: number of the trial whose open verdict it settles
CUT_OFF = "cut_off"  # trial attribute: it ended before its time, and was queued again
QUEUED = "queued"  # trial attribute: the setting, as accelerator → knob → value, it is queued for
GRID = ("grid_id", "search_space")  # trial attributes by which Optuna's GridSampler knows a point


def next_try(trial: FrozenTrial, *, counts: bool = True) -> FrozenTrial | None:
    """What is queued for a crashed trial: its values, unless that was done `RETRIES` times.

    A try that was no fault of the trial's does not count.
    """
    kept = trial.user_attrs
    tries = int(kept.get("tries", 1))
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    point = {name: trial.system_attrs[name] for name in GRID if name in trial.system_attrs}
    if RESOLVES in kept:  # whose verdict is still open the next time
        return None
    if tries + counts > RETRIES + 1 or not (params or point):
        return None
    setting = kept.get("setting", kept.get(QUEUED))
    return create_trial(
        state=TrialState.WAITING,
        system_attrs={"fixed_params": params, **point},
        user_attrs={"tries": tries + counts} | ({} if setting is None else {QUEUED: setting}),
    )
