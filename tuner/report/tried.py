"""Every trial of a study that has ended, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.study.baseline import Baseline
from tuner.study.results import Result, counting, result_of
from tuner.study.schema import LONG, SAME_AS, SETTING
from tuner.study.verdicts import verdict
from tuner.study.verifications import effective_timing, effective_verification

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that has ended."""

    number: int
    state: str  # 'complete', 'stopped' early, or 'failed'
    setting: Setting | None  # None where it failed before it had one
    result: Result | None  # None where nothing was measured
    feasible: bool
    outcome: str  # in words: the verdict on the setting, or why the trial ended early


def read_trials(study: optuna.Study, study_attrs: Mapping[str, Any], goal: Goal) -> list[Trial]:
    """The trials that have ended, in the order of their numbers.

    Of a setting that was measured several times one trial counts; the outcome of the others names
    it.
    """
    log = log_of(study)
    trials = [
        _trial(number, STATES[state], stored, study_attrs, goal)
        for state in STATES
        for _, number, stored in log.attributes(state, without=LONG)
    ]
    trials.sort(key=lambda trial: trial.number)
    counts: dict[Setting, set[int]] = {}
    for result in counting(results_among(trials, "complete")):
        counts.setdefault(result.setting, set()).add(result.trial)
    return [_superseded(trial, counts) for trial in trials]


def results_among(trials: Sequence[Trial], state: str) -> list[Result]:
    """The results of the trials in a state, in their order."""
    return [trial.result for trial in trials if trial.state == state and trial.result is not None]


def _superseded(trial: Trial, counts: Mapping[Setting, set[int]]) -> Trial:
    if trial.state != "complete" or trial.setting is None:
        return trial
    numbers = counts.get(trial.setting, set())
    if not numbers or trial.number in numbers:
        return trial
    return replace(trial, outcome=f"{trial.outcome}; measured again in trial {max(numbers)}")


def _trial(
    number: int, state: str, stored: Mapping[str, Any], study_attrs: Mapping[str, Any], goal: Goal
) -> Trial:
    setting = Setting.of(stored[SETTING]) if SETTING in stored else None
    result = None
    if setting is not None and "score_loss" in stored:
        result = result_of(
            number,
            stored,
            Baseline.of(study_attrs),
            effective_verification(number, stored, study_attrs),
            effective_timing(number, stored, study_attrs),
        )
    return Trial(
        number=number,
        state=state,
        setting=setting,
        result=result,
        feasible=result is not None and state == "complete" and result.feasible(goal.limits),
        outcome=_outcome(state, stored, result, goal),
    )


def _outcome(state: str, stored: Mapping[str, Any], result: Result | None, goal: Goal) -> str:
    if state != "complete" or result is None:
        return str(stored.get("reason", "ended without a reason"))
    parts = [verdict(result, goal.limits) or "the baseline"]
    if SAME_AS in stored:
        parts.append(f"same computation as trial {stored[SAME_AS]}")
    if not goal.admits(result):
        parts.append("has accelerators that the last run did not ask for")
    return "; ".join(parts)
