"""Trials and studies in sentences, for the dashboard's notes, the terminal and the report.

Every function takes what was read of a study and returns plain text, without markup. Figures are
followed by their 95% intervals in parentheses (`tuner.formatting`).
"""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from tuner import registry
from tuner.formatting import (
    count,
    duration,
    percent_with_interval,
    plain_with_interval,
    seconds,
    sentence,
    times_with_interval,
)
from tuner.limits import Limits
from tuner.measure.figures import Figures
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study.costs import StudyCosts
from tuner.study.fewer_steps import fewer_steps_sentence
from tuner.study.formatting import quantities_of
from tuner.study.reference import ReferenceRow
from tuner.study.results import Result
from tuner.study.verdicts import ELSEWHERE, limits_text, verified_text

# How the speedup of a setting is known, by `Figures.speedup_from`.
HOW_TIMED = {
    None: "timed in pairs of batches, with and without the setting",
    "model": "predicted from timed steps; no timed pair of batches contradicts it",
    "few pairs": "timed in a few pairs of batches, with and without the setting",
}
UNVERIFIED = "Not verified: it was measured once, by the search that chose it."


def knobs_in_words(setting: Setting) -> dict[str, str]:
    """Each accelerator with its knobs by name: {'deepcache': 'cache_interval 3, …'}."""
    return {
        part.name: ", ".join(f"{knob} {value:g}" for knob, value in part.values().items())
        for part in setting.accelerators
    }


def setting_in_words(setting: Setting) -> str:
    """Every knob by its name: 'deepcache (cache_interval 3, cache_branch_id 0); tome (…)'."""
    parts = [f"{name} ({knobs})" for name, knobs in knobs_in_words(setting).items()]
    return "; ".join(parts) or "no accelerator"


def figures_in_words(figures: Figures) -> dict[str, str]:
    """The figures that limits are about, by their names, with their intervals."""
    return {
        "speedup": times_with_interval(figures.speedup),
        "score loss": percent_with_interval(figures.score_loss),
        **{
            registry.get("metrics", name).figure: plain_with_interval(estimate)
            for name, estimate in figures.fidelity.items()
        },
    }


def quantities_in_words(figures: Figures) -> dict[str, str]:
    """The other quantities that were measured, such as the peak memory, by their names."""
    return {quantity.title: quantity.text_of(value) for quantity, value in quantities_of(figures)}


def speed(result: Result, baseline_s: float | None) -> str:
    """How fast a setting is: '2.80× (2.71 … 2.88), 0.128 s per image instead of 0.359 s'."""
    text = times_with_interval(result.speedup)
    if baseline_s is not None:
        text += f", {seconds(result.latency_s)} per image instead of {seconds(baseline_s)}"
    return text if result.current else f"{text}; {ELSEWHERE}"


def quality(figures: Figures) -> str:
    """What a setting loses: 'score loss 0.50% (-0.20 … 1.20%) over 32 prompts, ssim 0.97 (…)'."""
    _, loss, *others = figures_in_words(figures).items()
    text = f"{' '.join(loss)} over {figures.prompts} prompts"
    return ", ".join([text, *(" ".join(other) for other in others)])


def how_timed(figures: Figures) -> str:
    """How the speedup is known, and whether it has no interval."""
    text = HOW_TIMED.get(figures.speedup_from, figures.speedup_from or "")
    return text if isfinite(figures.speedup.high) else f"{text}; its interval is not known"


def verdict(result: Result, limits: Limits) -> str:
    """Whether a setting is within the limits, and how certain that is."""
    return f"Verdict with {limits}: {limits_text(result, limits)} ({result.certainty(limits)})."


def verification(result: Result, goal: Goal) -> str:
    """What the second measurement found; '' where there is none."""
    if result.failed_again is not None:
        return f"Its verification failed: {result.failed_again}."
    if result.verified is None:
        return ""
    holds = "Verified" if goal.holds(result) else "It does not hold"
    return f"{holds}: a second measurement gave {verified_text(result)}."


def trial(result: Result, goal: Goal, baseline_s: float | None) -> list[str]:
    """A complete trial in sentences."""
    lines = [
        f"Speedup {speed(result, baseline_s)}.",
        f"{sentence(quality(result))} (In parentheses: 95% intervals.)",
        verdict(result, goal.limits),
    ]
    quantities = quantities_in_words(result).items()
    if quantities:
        lines.append(sentence(", ".join(f"{name} {text}" for name, text in quantities)))
    second = verification(result, goal)
    if second:
        lines.append(second)
    elif result.speedup_from is not None:
        lines.append(f"The speedup is {how_timed(result)}.")
    if result.unsteady is not None:
        lines.append(f"Unsteady timing: {result.unsteady}.")
    if result.note is not None:
        lines.append(sentence(result.note))
    return lines


def baseline(stored: Mapping[str, Any]) -> str:
    """The baseline's figures, from the study's attribute of that name."""
    return (
        f"The baseline takes {seconds(stored['latency_s'])} per image and scores "
        f"{stored['score']:.2f} over {stored['num_samples']} prompts."
    )


def answer(
    goal: Goal, best: Result | None, closest: Result | None, baseline_s: float | None
) -> list[str]:
    """The setting that meets the goal and whether it was verified; else the one closest to it.

    Args:
        goal: of the study.
        best: the fastest result that meets the goal.
        closest: where there is none, the result that misses the goal by least.
        baseline_s: the baseline's seconds per image.
    """
    if best is not None:
        return [
            f"The fastest setting with {goal} is {_figures(best, baseline_s)}.",
            verification(best, goal) or f"{UNVERIFIED} Running the same command again verifies it.",
        ]
    if closest is None:
        return [f"No trial is complete yet; the goal is {goal}."]
    misses = " and ".join(miss.text for miss in goal.misses(closest))
    return [
        f"No setting has met the goal ({goal}). The closest is {_figures(closest, baseline_s)}. "
        f"What it misses: {misses}."
    ]


def fewer_steps(
    goal: Goal, results: Sequence[Result], rows: Sequence[ReferenceRow], steps: int
) -> str:
    """What acceleration buys over fewer steps at the same speed; '' where that is not known."""
    text = fewer_steps_line(goal, results, rows, steps)
    return "" if text is None else sentence(text)


def fewer_steps_line(
    goal: Goal, results: Sequence[Result], rows: Sequence[ReferenceRow], steps: int
) -> str | None:
    """The same as a line for the terminal; None where that is not known."""
    best = goal.answer([result for result in results if result.current])
    return fewer_steps_sentence(best, rows, steps)


def trial_counts(complete: int, stopped: int, failed: int) -> str:
    """How many trials have ended, and how."""
    total = count(complete + stopped + failed, "trial")
    return f"{total}: {complete} complete, {stopped} stopped early, {failed} failed."


def unfinished_trials(number: int) -> str:
    """That the study is not finished, where trials run or wait; else ''."""
    if not number:
        return ""
    verb = "runs or waits" if number == 1 else "run or wait"
    return f"{count(number, 'more trial')} {verb}; the figures are those so far."


def cost(costs: StudyCosts) -> str:
    """What the study has cost so far; '' where no account was kept."""
    total = costs.total
    if not total.seconds:
        return ""
    pictures = count(sum(total.pictures.values()), "picture")
    text = f"The study has cost {pictures} and {duration(total.total_s)}"
    units = in_baselines(total.total_s, costs)
    return f"{text}, {units}." if units else f"{text}."


def in_baselines(total_s: float, costs: StudyCosts) -> str:
    """A duration in units of the baseline over the prompts of a trial; '' where that is unknown."""
    if not costs.baseline_s:
        return ""
    times_as_long = f"{total_s / costs.baseline_s:.1f} times as long"
    return f"{times_as_long} as the baseline takes for the {costs.prompts} prompts of a trial"


def application(setting: Setting) -> str:
    """The Python that applies a setting to a pipeline, a line for each accelerator."""
    parts = [f'    "{name}": {json.dumps(values)},' for name, values in setting.params.items()]
    return "\n".join(["undo = tuner.apply(pipe, {", *parts, "})"])


def _figures(result: Result, baseline_s: float | None) -> str:
    """A setting with its trial, speed and quality."""
    return (
        f"{result.setting} (trial {result.trial}): speedup {speed(result, baseline_s)}; "
        f"{quality(result)}"
    )
