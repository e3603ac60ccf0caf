"""Queued trials: a run begins only those whose setting it offers, each with that setting.

A trial may have been queued by a run that offered other accelerators or values. If it were run
unchanged, parameters that this run's space does not have would be lost, and those that the trial
does not fix would be drawn at random.
"""

from collections.abc import Callable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.errors import UsageError
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.storage.optuna_names import FIXED
from tuner.storage.retries import QUEUED, TRIES


def queue_first(study: optuna.Study, space: Space, settings: Sequence[Setting]) -> None:
    """Queue the settings that a study begins with; none where it has trials already."""
    trials = [
        create_trial(
            state=TrialState.WAITING,
            system_attrs={FIXED: space.flat(setting)},
            user_attrs={QUEUED: setting.params},
        )
        for setting in settings
    ]
    log_of(study).queue_first(trials)


def leave_unwanted_to_others(
    study: optuna.Study, space: Space, is_measured: Callable[[Setting], bool]
) -> None:
    """Leave queued trials outside the space, or measured since or now, to other runs.

    They stay queued and do not count. The others get a value for every parameter of the space.
    While the retry of a trial that was cut short waits, nothing else is begun: the study might have
    all its trials before the retry's turn came.
    """
    queued = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    wanted = [trial for trial in queued if _is_wanted(study, trial, space, is_measured)]
    next_ones = [trial for trial in wanted if TRIES in trial.user_attrs] or wanted
    numbers = {trial.number for trial in next_ones}
    log_of(study).pass_over([trial for trial in queued if trial.number not in numbers])


def _is_wanted(
    study: optuna.Study,
    trial: FrozenTrial,
    space: Space,
    is_measured: Callable[[Setting], bool],
) -> bool:
    fixed = trial.system_attrs.get(FIXED, {})
    offered = space.offered()
    # Of an old version, or its process died before it had a setting.
    if QUEUED not in trial.user_attrs:
        return bool(fixed.keys() <= offered.keys())
    try:
        setting = Setting.of(trial.user_attrs[QUEUED])
    except UsageError:  # its accelerator is not installed here
        return False
    if not space.holds(setting) or is_measured(setting):
        return False
    if not all(fixed.get(name) in values for name, values in offered.items()):
        log_of(study).set_fixed(trial, fixed | space.flat(setting))
    return True
