"""The constraints of a trial: one number for each limit, at most zero where the limit is met.

Optuna's samplers and its dashboard read them, so they must follow changed limits and verifications.
"""

from collections.abc import Mapping
from typing import Any

import optuna

from tuner.limits import Limits
from tuner.storage.log import log_of
from tuner.storage.trial_log import ENDED
from tuner.study import verifications
from tuner.study.baseline import attributes
from tuner.study.schema import LONG, VERIFIED

BARELY = 1e-12  # infeasible by an unknown amount
LIMITS = "limits"  # study attribute: the limits that the stored constraints belong to


def set_constraints(trial: optuna.Trial, limits: Limits) -> None:
    """Store the constraints of a running trial."""
    study_attrs = attributes(trial.study)
    values = constraints_of(trial.number, trial.user_attrs, limits, study_attrs)
    log_of(trial.study).set_constraints(trial, values)


def constraints_of(
    number: int, stored: Mapping[str, Any], limits: Limits, study_attrs: Mapping[str, Any]
) -> list[float]:
    """The constraints of a trial, from its own attributes and those of its study (`study_attrs`).

    For each limit the worse of the trial and its verification counts. A failed verification makes
    the trial barely infeasible, so that no sampler is trained on a made-up amount.
    """
    verification = verifications.effective_verification(number, stored, study_attrs) or {}
    measured = [figures for figures in (stored, verification) if "score_loss" in figures]
    constraints = [_of_figures(figures, limits) for figures in measured]
    first, *others = (max(values) for values in zip(*constraints, strict=True))
    return [max(first, BARELY) if "failed" in verification else first, *others]


def _of_figures(stored: Mapping[str, Any], limits: Limits) -> list[float]:
    fidelity = {name: figure["value"] for name, figure in stored.get("fidelity", {}).items()}
    return limits.constraints(stored["score_loss"], fidelity)


def update_for_limits(study: optuna.Study, limits: Limits) -> None:
    """Re-evaluate every finished trial where the limits are not those of the last run."""
    if study.user_attrs.get(LIMITS) != limits.as_dict():
        _update(study, limits, only_verified=False)
        study.set_user_attr(LIMITS, limits.as_dict())


def update_verified(study: optuna.Study, limits: Limits) -> None:
    """Update the stored constraints of verified trials to both measurements."""
    if attributes(study).get(VERIFIED):
        _update(study, limits, only_verified=True)


def _update(study: optuna.Study, limits: Limits, *, only_verified: bool) -> None:
    study_attrs, log = attributes(study), log_of(study)
    log.replace_constraints(
        {
            trial_id: constraints_of(number, stored, limits, study_attrs)
            for trial_id, number, stored in log.attributes(*ENDED, without=LONG)
            if "score_loss" in stored
            and (not only_verified or verifications.all_of_trial(number, stored, study_attrs))
        }
    )
