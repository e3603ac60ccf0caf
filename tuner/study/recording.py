"""Writing what a trial or a verification measured, and what it cost."""

from statistics import median
from typing import Any

import optuna

from tuner.limits import Limits
from tuner.measure.account import Account
from tuner.measure.measurement import Measurement
from tuner.measure.paired_timing import PairedTimings
from tuner.storage.log import log_of
from tuner.study.baseline import Baseline, attributes, keep_baseline
from tuner.study.constraints import set_constraints, update_verified
from tuner.study.schema import (
    COST,
    COSTS,
    PAIRED,
    REFERENCE,
    TIMED,
    VERIFIED,
    attributes_of,
    figure_attributes,
)
from tuner.study.verifications import Failure, as_list


def record_trial(trial: optuna.Trial, measured: Measurement, limits: Limits) -> None:
    """Store a measurement with its trial, and the baseline's latency in it with the study.

    Per-prompt scores are one compact attribute.
    """
    keep_baseline(trial.study, measured)
    stored = {
        **measured_attributes(measured),
        COST: measured.cost.stored(),
        "scores": " ".join(f"{score:.4f}" for score in measured.scores),
        "ratios": " ".join(f"{ratio:.4f}" for ratio in measured.ratios),
        "same_pictures": measured.same_pictures,
    }
    if measured.note is not None:
        stored["note"] = measured.note
    if measured.numbers != list(range(measured.prompts)):  # the prompts were drawn
        stored["numbers"] = " ".join(map(str, measured.numbers))
    log_of(trial.study).set_attributes(trial, stored)
    set_constraints(trial, limits)


def measured_attributes(measured: Measurement) -> dict[str, Any]:
    """The figures of a measurement, and what its timing pairs alone say of the speedup."""
    attributes: dict[str, Any] = attributes_of(measured)
    attributes[PAIRED] = {
        "count": len(measured.ratios),
        "speedup": median(measured.ratios) if measured.ratios else None,
        "predicted": measured.predicted,
    }
    return attributes


def store_timing(study: optuna.Study, trial: int, timings: PairedTimings) -> None:
    """Store the speedup of a trial's setting by pairs that were timed after the search."""
    stored = {
        **figure_attributes("speedup", timings.speedup),
        **figure_attributes("denoising", timings.denoising),
        "speedup_from": timings.source,
        "unsteady": timings.unsteady,
        "latency_key": Baseline.of(attributes(study)).latency_key,
    }
    _add_entry(study, TIMED, trial, stored)


def store_reference(study: optuna.Study, steps: int, measured: Measurement | Failure) -> None:
    """Store what the plain pipeline measured with fewer steps, or why it could not be measured."""
    if isinstance(measured, Failure):
        stored = _failed(study, measured)
    else:
        keep_baseline(study, measured)
        stored = measured_attributes(measured)
    _add_entry(study, REFERENCE, steps, stored)


def store_cost(study: optuna.Study, run: str, account: Account, *, at_once: bool = False) -> None:
    """Store what a run, of this name, has spent on no trial.

    With `at_once` a database that does not answer is not waited for, but raises its error.
    """
    if at_once:
        log_of(study).set_study_attribute_at_once(COSTS + run, account.stored())
    else:
        study.set_user_attr(COSTS + run, account.stored())


def store_verification(
    study: optuna.Study, trial: int, verification: Measurement | Failure, limits: Limits
) -> None:
    """Store a verification of a trial, by its number; updates the trial's constraints."""
    if isinstance(verification, Failure):
        stored = _failed(study, verification)
    else:
        keep_baseline(study, verification)
        stored = measured_attributes(verification)
    _add_entry(study, VERIFIED, trial, stored)
    update_verified(study, limits)


def _failed(study: optuna.Study, failure: Failure) -> dict[str, Any]:
    return {
        "failed": failure.reason,
        "for_good": failure.for_good,
        "latency_key": Baseline.of(attributes(study)).latency_key,
    }


def _add_entry(study: optuna.Study, name: str, number: int, stored: dict[str, Any]) -> None:
    """Store a measurement with the study in place of that under the same latency key.

    `number` is that of the trial that was measured again, or of the steps.
    """
    study_attrs = attributes(study)
    baseline = Baseline.of(study_attrs)
    entries = study_attrs.get(name, {})
    others = [entry for entry in as_list(entries.get(str(number))) if not baseline.is_of(entry)]
    study.set_user_attr(name, entries | {str(number): [*others, stored]})
