"""Writing what a trial or a verification measured."""

import optuna

from tuner.limits import Limits
from tuner.measure.measurement import Measurement
from tuner.study.baseline import Baseline, attributes, keep_baseline
from tuner.study.constraints import set_constraints, update_verified
from tuner.study.schema import VERIFIED, attributes_of
from tuner.study.verifications import Failure, as_list


def record_trial(trial: optuna.Trial, measured: Measurement, limits: Limits) -> None:
    """Store a measurement with its trial, and the baseline's latency in it with the study.

    Per-prompt scores are one compact attribute.
    """
    keep_baseline(trial.study, measured)
    stored = {
        **attributes_of(measured),
        "scores": " ".join(f"{score:.4f}" for score in measured.scores),
        "ratios": " ".join(f"{ratio:.4f}" for ratio in measured.ratios),
        "same_pictures": measured.same_pictures,
    }
    if measured.note is not None:
        stored["note"] = measured.note
    if measured.numbers != list(range(measured.prompts)):  # the prompts were drawn
        stored["numbers"] = " ".join(map(str, measured.numbers))
    for name, value in stored.items():
        trial.set_user_attr(name, value)
    set_constraints(trial, limits)


def store_verification(
    study: optuna.Study, trial: int, verification: Measurement | Failure, limits: Limits
) -> None:
    """Store a verification of a trial, by its number; updates the trial's constraints."""
    if isinstance(verification, Failure):
        stored = {
            "failed": verification.reason,
            "for_good": verification.for_good,
            "latency_key": Baseline.of(attributes(study)).latency_key,
        }
    else:
        keep_baseline(study, verification)
        stored = attributes_of(verification)
    study_attrs = attributes(study)
    baseline = Baseline.of(study_attrs)
    verified = study_attrs.get(VERIFIED, {})
    earlier = as_list(verified.get(str(trial)))
    others = [entry for entry in earlier if not baseline.is_of(entry)]  # of other latency keys
    study.set_user_attr(VERIFIED, verified | {str(trial): [*others, stored]})
    update_verified(study, limits)
