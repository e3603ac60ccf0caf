"""Queued trials: those of today's request are run as what they were queued for.

A trial may wait since a run that offered other accelerators or values. Run as it lies there, what
the space of today does not name would be left out of it, and what it does not fix would be drawn.
"""

from collections.abc import Callable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import UsageError
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.storage.queries import backend_of
from tuner.storage.retries import QUEUED

FIXED = "fixed_params"  # trial attribute: the numbers that Optuna gives a queued trial


def enqueue(study: optuna.Study, space: Space, settings: Sequence[Setting]) -> None:
    """Queue settings."""
    for setting in settings:
        study.enqueue_trial(space.flat(setting), user_attrs={QUEUED: setting.params})


def look_through(study: optuna.Study, space: Space, is_measured: Callable[[Setting], bool]) -> None:
    """Leave to other runs what is queued and not of this space, or was measured since.

    It goes on waiting, and counts for nothing. What is left has a value for every number.
    """
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    backend_of(study).passed_over = {
        one._trial_id for one in waiting if not _is_asked_for(study, one, space, is_measured)
    }


def _is_asked_for(
    study: optuna.Study,
    trial: FrozenTrial,
    space: Space,
    is_measured: Callable[[Setting], bool],
) -> bool:
    fixed = trial.system_attrs.get(FIXED, {})
    offered = space.offered()
    if QUEUED not in trial.user_attrs:  # by an earlier version, or died before it had a setting
        return bool(fixed.keys() <= offered.keys())
    try:
        setting = Setting.of(trial.user_attrs[QUEUED])
    except UsageError:  # of an accelerator that is not here any more
        return False
    if not space.holds(setting) or is_measured(setting):
        return False
    if not all(fixed.get(name) in values for name, values in offered.items()):
        full = fixed | space.flat(setting)
        study._storage.set_trial_system_attr(trial._trial_id, FIXED, full)
    return True
