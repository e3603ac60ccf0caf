"""The verdict on a result in words: whether it is within the limits, and how certain that is."""

from tuner.limits import Limits
from tuner.study.formatting import quality_text
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
        f"{verification.speedup.value:.2f}×, {quality_text(verification)}, "
        f"{verification.prompts} prompts{elsewhere}"
    )


def verdict(result: Result, limits: Limits) -> str:
    """Whether a result is within its limits, how certain that is, and what its timing lacks.

    Empty for the baseline.
    """
    if not result.setting.accelerators:
        return ""
    parts = [f"{limits_text(result, limits)}, {result.certainty(limits)}"]
    if result.unsteady is not None:
        parts.append("unsteady timing")
    if not result.current:
        parts.append(ELSEWHERE)
    return "; ".join(parts)


def limits_text(result: Result, limits: Limits) -> str:
    """Whether a result is within its limits, and whether the verification alone decided that."""
    missed = result.missed(limits)
    if missed == [VERIFICATION]:
        return "verification failed"
    if not limits.others:
        text = "over the limit" if missed else "under the limit"
    else:
        text = f"misses the limit of {', '.join(missed)}" if missed else "within the limits"
    return f"{text} in the verification" if result.overruled(limits) else text
