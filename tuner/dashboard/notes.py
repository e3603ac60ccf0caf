"""The notes of a study and of its trials, in Markdown."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner import describe
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.study.baseline import BASELINE
from tuner.study.costs import read_costs
from tuner.study.reference import read_reference
from tuner.study.results import Result
from tuner.study.schema import SAME_AS, SETTING

# Reasons and remarks may quote a library, a prompt or a device.
MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "[": r"\[", "`": r"\`"})
FRONT = "On the Pareto front."
WINNER = "The fastest setting that meets the goal so far."


def result_note(result: Result, goal: Goal, baseline_s: float | None, marks: list[str]) -> str:
    """The note of a complete trial; `marks` are sentences about its place among the others."""
    lines = [*marks, *map(_without_markup, describe.trial(result, goal, baseline_s))]
    return "\n\n".join([_setting(result.setting), *lines, _apply(result.setting)])


def ended_note(trial: FrozenTrial) -> str:
    """The note of a trial that was stopped early or failed."""
    stored = trial.user_attrs
    lines = [_setting(Setting.of(stored[SETTING]))] if SETTING in stored else []
    if SAME_AS in stored:
        lines.append(f"The same computation as trial {stored[SAME_AS]}, whose figures it takes.")
    reason = stored.get("reason", "no reason is stored")
    what = "Stopped early" if trial.state == TrialState.PRUNED else "Failed"
    lines.append(f"**{what}**: {_without_markup(reason.removeprefix('stopped '))}.")
    return "\n\n".join(lines)


def study_note(
    study: optuna.Study, goal: Goal, results: list[Result], study_attrs: Mapping[str, Any]
) -> str:
    """The note of a study."""
    stored = study_attrs.get(BASELINE)
    best = goal.reached(results)
    log = log_of(study)
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    lines = [
        f"**Goal:** the fastest setting with {goal}.",
        *describe.answer(
            goal,
            best,
            None if best is not None else goal.closest(results),
            None if stored is None else stored["latency_s"],
        ),
        *([] if stored is None else [describe.baseline(stored)]),
        " ".join(
            [describe.trial_counts(*map(log.count, states)), describe.cost(read_costs(study))]
        ).strip(),
    ]
    steps = study_attrs.get("request", {}).get("steps")
    rows = read_reference(study, study_attrs)
    comparison = describe.fewer_steps(goal, results, rows, steps) if rows else ""
    if comparison:
        lines.append(f"**And with fewer steps?** {comparison}")
    if best is not None:
        lines += [
            "To use it, run `tuner export -o search_params.json`, then",
            '```python\nundo = tuner.apply(pipe, "search_params.json")\n```',
        ]
    return "\n\n".join(lines)


def with_picture(note: str, path: str) -> str:
    """The note with a contact sheet below it, from where the dashboard serves it."""
    return f"{note}\n\n![contact sheet]({path})"


def _without_markup(text: str) -> str:
    """The text for Markdown, which the dashboard renders together with any HTML in it."""
    return text.translate(MARKUP)


def _setting(setting: Setting) -> str:
    return f"**{setting}**: {describe.setting_in_words(setting)}"


def _apply(setting: Setting) -> str:
    return f"```python\n{describe.application(setting)}\n```"
