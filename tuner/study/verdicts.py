"""The verdict on a result in words: whether it is within the limits, and how certain that is."""

from tuner.formatting import times
from tuner.limits import Limits
from tuner.study.formatting import quality_text
from tuner.study.reference import ReferenceRow
from tuner.study.results import VERIFICATION, Result

ELSEWHERE = "timed on another machine or with other package versions"


def verified_text(result: Result) -> str:
    """The figures of a result's verification, or why that failed; '' if there was none."""
    if result.failed_again is not None:
        return f"failed: {result.failed_again}"
    verification = result.verified
    if verification is None:
        return ""
    elsewhere = "" if verification.current else f", {ELSEWHERE}"
    return (
        f"{times(verification.speedup.value)}, {quality_text(verification)}, "
        f"{verification.prompts} prompts{elsewhere}"
    )


def verdict(result: Result, limits: Limits) -> str:
    """Whether a result is within its limits, how certain that is, and what its timing lacks.

    Empty for the baseline.
    """
    if not result.setting.accelerators:
        return ""
    text = f"{limits_text(result, limits)}, {result.certainty(limits)}"
    return "; ".join([text, *_timing_lacks(result)])


def reference_verdict(row: ReferenceRow, limits: Limits) -> str:
    """The same of the plain pipeline with fewer steps."""
    text = _missed_text(limits.missed(row.score_loss.value, row.fidelity), limits)
    certainty = limits.certainty(row.score_loss, row.fidelity)
    return "; ".join([f"{text}, {certainty}", *_timing_lacks(row)])


def limits_text(result: Result, limits: Limits) -> str:
    """Whether a result is within its limits, and whether the verification alone decided that."""
    missed = result.missed(limits)
    if missed == [VERIFICATION]:
        return "verification failed"
    text = _missed_text(missed, limits)
    return f"{text} in the verification" if result.overruled(limits) else text


def _missed_text(missed: list[str], limits: Limits) -> str:
    if not limits.others:
        return "over the limit" if missed else "under the limit"
    return f"misses the limit of {', '.join(missed)}" if missed else "within the limits"


def _timing_lacks(row: Result | ReferenceRow) -> list[str]:
    unsteady = [] if row.unsteady is None else ["unsteady timing"]
    return unsteady if row.current else [*unsteady, ELSEWHERE]
