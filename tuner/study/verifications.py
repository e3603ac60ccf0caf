"""Verifications as a study stores them.

A finished trial cannot be changed, so the second measurement of its setting is stored with the
study: one for each latency key, by the trial's number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from tuner.study.baseline import Baseline, attributes
from tuner.study.schema import SAME_AS, TIMED, VERIFIED


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a verification failed, and whether another try would fail as well."""

    reason: str
    for_good: bool = False


def read_verifications(study: optuna.Study) -> dict[int, dict[str, Any]]:
    """The attributes of the verifications that count, by trial number; without failed ones."""
    study_attrs = attributes(study)
    baseline = Baseline.of(study_attrs)
    counting = {
        int(number): effective_of(as_list(stored), baseline)
        for number, stored in study_attrs.get(VERIFIED, {}).items()
    }
    return {n: entry for n, entry in counting.items() if entry and "failed" not in entry}


def effective_verification(
    number: int, stored: Mapping[str, Any], study_attrs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The verification that counts for a trial, or for the trial whose figures it took over.

    From the trial's and the study's attributes; None where there is none.
    """
    return effective_of(all_of_trial(number, stored, study_attrs), Baseline.of(study_attrs))


def all_of_trial(
    number: int, stored: Mapping[str, Any], study_attrs: Mapping[str, Any], name: str = VERIFIED
) -> list[dict[str, Any]]:
    """All verifications of a trial, or of the trial whose figures it took over.

    `name` is the study's attribute that holds them: `VERIFIED`, or `TIMED` for timings.
    """
    return as_list(study_attrs.get(name, {}).get(str(stored.get(SAME_AS, number))))


def effective_timing(
    number: int, stored: Mapping[str, Any], study_attrs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A later timing whose speedup counts in place of a trial's own.

    The trial's own speedup is from the latency model, or was timed under another latency key. The
    later one was timed in pairs under the current key, after the search or with the verification.
    """
    baseline = Baseline.of(study_attrs)
    if stored.get("speedup_from") is None and baseline.is_of(stored):
        return None
    for name in (TIMED, VERIFIED):
        for entry in all_of_trial(number, stored, study_attrs, name):
            by_pairs = "speedup" in entry and entry.get("speedup_from") is None
            if by_pairs and baseline.is_of(entry):
                return entry
    return None


def as_list(stored: Any) -> list[dict[str, Any]]:
    """The verifications of a trial; an old version stored one, and not in a list."""
    if stored is None:
        return []
    return [stored] if isinstance(stored, dict) else stored


def effective_of(verifications: list[dict[str, Any]], baseline: Baseline) -> dict[str, Any] | None:
    """The verification under the current latency key; else the last one that did not fail.

    A failure on another machine does not count on this one.
    """
    current = [entry for entry in verifications if baseline.is_of(entry)]
    usable = current or [entry for entry in verifications if "failed" not in entry]
    return usable[-1] if usable else None
