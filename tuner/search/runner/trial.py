"""A trial from its beginning to its end in the database."""

from collections.abc import Callable
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import TrialError
from tuner.storage.queries import backend_of

Objective = Callable[[optuna.Trial], tuple[float, float]]
GIVEN_UP = "given up by another run while this one stood still; what it measured is not kept"


def attempt(
    study: optuna.Study,
    trial: optuna.Trial,
    objective: Objective,
    lost: Callable[[int, str], None],
) -> FrozenTrial | None:
    """Run a trial and keep how it ended; None where another run gave it up meanwhile.

    `lost` is then told its number and the reason. Other errors than a trial's own are raised.
    """
    try:
        told = _told(study, trial, objective)
    except UpdateFinishedTrialError:
        told = None
    finally:
        backend_of(study).done_with(trial._trial_id)
    if told is None:
        lost(trial.number, GIVEN_UP)
    return told


def _told(study: optuna.Study, trial: optuna.Trial, objective: Objective) -> FrozenTrial | None:
    values, state = None, TrialState.FAIL
    try:
        values = objective(trial)
        state = TrialState.COMPLETE
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except (TrialError, UpdateFinishedTrialError):
        pass
    except BaseException:
        with suppress(UpdateFinishedTrialError):
            study.tell(trial, state=state, skip_if_finished=True)
        raise
    # One that was given up is finished: nothing is told then, and it goes on being this process's.
    told = study.tell(trial, values, state, skip_if_finished=True)
    return None if backend_of(study).runs(trial._trial_id) else told
