"""How far a study is, and whether anything is left to begin."""

import optuna
from optuna.trial import TrialState

from tuner.search.runner.observer import Observer
from tuner.search.sweep.sweep import Ending, Exhaustive
from tuner.storage.log import log_of
from tuner.storage.retries import CUT_OFF


def counted_trials(study: optuna.Study, *, resolves: bool = True) -> int:
    """How many trials of a study have ended and count towards its budget.

    A sweep `resolves` no setting, and counting by attribute is slow with its many trials.
    """
    log = log_of(study)
    if resolves:
        return log.counted()
    return log.finished() - log.count_with(CUT_OFF, TrialState.FAIL)


def is_done(study: optuna.Study, trials: int | None, observer: Observer | None = None) -> bool:
    """Whether a study has `trials` finished trials, or its sampler has nothing left to propose.

    Trials that were cut off and queued again do not count, nor do those that resolve an
    inconclusive setting.
    """
    observer = observer or Observer()
    ended = counted_trials(study, resolves=not isinstance(study.sampler, Exhaustive))
    if trials is not None:
        observer.advanced(ended, trials)
    elif isinstance(study.sampler, Exhaustive):
        reach = study.sampler.reach(study)
        observer.advanced(reach.passed, reach.points)
    return (trials is not None and ended >= trials) or has_ended(study)


def has_ended(study: optuna.Study) -> bool:
    """Whether nothing is left to begin, and no running trial could still fail and be retried."""
    return is_idle(study) and _proposes_nothing(study)


def is_new(study: optuna.Study) -> bool:
    """Whether no trial runs or has ended; one that was interrupted may be queued again."""
    return not counted_trials(study) and not log_of(study).count(TrialState.RUNNING)


def is_idle(study: optuna.Study) -> bool:
    """Whether no trial runs or waits."""
    return log_of(study).count(TrialState.RUNNING) == 0 and log_of(study).waiting() == 0


def is_left_to_others(study: optuna.Study) -> bool:
    """Whether other runs measure all that is missing; to be called between two trials."""
    log = log_of(study)
    runs_elsewhere = log.count(TrialState.RUNNING) > 0
    return runs_elsewhere and log.waiting() == 0 and _proposes_nothing(study)


def _proposes_nothing(study: optuna.Study) -> bool:
    """Whether the sampler has nothing left to propose; to find that out may take a proposal."""
    return isinstance(study.sampler, Ending) and study.sampler.has_ended(study)
