"""Trials and studies in sentences, for the dashboard's notes, the terminal and the report.

Every function takes what was read of a study and returns plain text, without markup. Figures are
followed by their 95 % intervals in parentheses.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from tuner import registry
from tuner.limits import Limits
from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.search.sweep.estimate import span
from tuner.setting import Setting
from tuner.study.costs import StudyCosts
from tuner.study.results import Result
from tuner.study.verdicts import ELSEWHERE, limits_text, verified_text

# How a speedup is known, by where it is from.
SPEED_FROM = {
    "model": "The speedup is predicted from timed steps, and a pair of batches confirms it.",
    "few pairs": "The speedup is from few pairs of batches, and known to about 5 %.",
}


def setting_in_words(setting: Setting) -> str:
    """Every knob by its name: 'deepcache (cache_interval 3, cache_branch_id 0); tome (…)'."""
    parts = [
        f"{part.name} ({', '.join(f'{knob} {value:g}' for knob, value in part.values().items())})"
        for part in setting.accelerators
    ]
    return "; ".join(parts) or "no accelerator"


def times(speedup: Estimate) -> str:
    """A speedup with its 95 % interval: '2.80× (2.71 … 2.88)'."""
    return f"{speedup.value:.2f}×{_interval(speedup, '{:.2f}')}"


def percent(share: Estimate) -> str:
    """A share with its 95 % interval: '0.50 % (-0.20 … 1.20 %)'."""
    scaled = Estimate(value=100 * share.value, low=100 * share.low, high=100 * share.high)
    return f"{scaled.value:.2f} %{_interval(scaled, '{:.2f}', ' %')}"


def figure(value: Estimate) -> str:
    """The figure of an extra metric with its 95 % interval: '0.0813 (0.0702 … 0.0924)'."""
    return f"{value.value:.3g}{_interval(value, '{:.3g}')}"


def speed(result: Result, baseline_s: float | None) -> str:
    """How fast a setting is: 'speedup 2.80× (2.71 … 2.88), 0.13 s per image instead of 0.36 s'."""
    text = f"speedup {times(result.speedup)}"
    if baseline_s is not None:
        text += f", {result.latency_s:.3f} s per image instead of {baseline_s:.3f} s"
    return text if result.current else f"{text}; {ELSEWHERE}"


def quality(figures: Figures) -> str:
    """What a setting loses: 'score loss 0.50 % (-0.20 … 1.20 %) over 32 prompts'."""
    text = f"score loss {percent(figures.score_loss)} over {figures.prompts} prompts"
    for name, value in figures.fidelity.items():
        text += f", {registry.get('metrics', name).figure} {figure(value)}"
    return text


def verdict(result: Result, limits: Limits) -> str:
    """Whether a setting is within the limits, and how certain that is."""
    return f"Verdict with {limits}: {limits_text(result, limits)} ({result.certainty(limits)})."


def verification(result: Result, limits: Limits) -> str:
    """What the second measurement found, or that there is none."""
    if result.failed_again is not None:
        return f"Its verification failed: {result.failed_again}."
    if result.verified is None:
        return "Not verified: it was measured once, by the search that chose it."
    holds = "It does not hold" if result.missed_again(limits) else "Verified"
    return f"{holds} on prompts that the search did not use: {verified_text(result)}."


def trial(result: Result, limits: Limits, baseline_s: float | None) -> list[str]:
    """A complete trial in sentences."""
    lines = [
        f"{_capital(speed(result, baseline_s))}.",
        f"{_capital(quality(result))}. (Intervals hold in 95 % of cases.)",
        verdict(result, limits),
    ]
    if result.verified is not None or result.failed_again is not None:
        lines.append(verification(result, limits))
    elif result.speedup_from is not None:
        lines.append(SPEED_FROM.get(result.speedup_from, f"Speedup from: {result.speedup_from}."))
    if result.unsteady is not None:
        lines.append(f"Unsteady timing: {result.unsteady}.")
    if result.note is not None:
        lines.append(f"{_capital(result.note)}.")
    return lines


def baseline(stored: Mapping[str, Any]) -> str:
    """The baseline's figures, from the study's attribute of that name."""
    return (
        f"The baseline takes {stored['latency_s']:.3f} s per image and scores "
        f"{stored['score']:.2f} over {stored['num_samples']} prompts."
    )


def best(goal: Goal, results: list[Result], baseline_s: float | None) -> list[str]:
    """The fastest setting that meets the goal, or the one that is closest to it."""
    fastest = goal.reached(results)
    if fastest is not None:
        return [
            f"The fastest setting so far is that of trial {fastest.trial}, {fastest.setting}: "
            f"{speed(fastest, baseline_s)}; {quality(fastest)}.",
            verification(fastest, goal.limits),
        ]
    closest = goal.closest(results)
    if closest is None:
        return ["No setting was measured to the end yet."]
    misses = " and ".join(miss.text for miss in goal.misses(closest))
    return [
        f"No setting has met the goal so far. The closest is that of trial {closest.trial}, "
        f"{closest.setting}, with {misses}."
    ]


def trial_counts(complete: int, stopped: int, failed: int) -> str:
    """How many trials have ended, and how."""
    total = complete + stopped + failed
    noun = "trial" if total == 1 else "trials"
    return f"{total} {noun}: {complete} complete, {stopped} stopped early, {failed} failed."


def cost(costs: StudyCosts) -> str:
    """What the study has cost so far; '' where a version measured it that kept no account."""
    total = costs.total
    if not total.seconds:
        return ""
    pictures = sum(total.pictures.values())
    duration = f"{total.total_s:.0f} s" if total.total_s < 60 else span(total.total_s)
    text = f"It has cost {duration} and {pictures:,} pictures"
    if costs.baseline_s:
        units = total.total_s / costs.baseline_s
        text += f", {units:.1f} times what the baseline takes for the prompts of one trial"
    return f"{text}."


def application(setting: Setting) -> str:
    """The Python that applies a setting to a pipeline, a line for each accelerator."""
    parts = [f'    "{name}": {json.dumps(values)},' for name, values in setting.params.items()]
    return "\n".join(["undo = tuner.apply(pipe, {", *parts, "})"])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _interval(figure: Estimate, form: str, unit: str = "") -> str:
    """The 95 % interval in parentheses, after a space; '' where both ends are unknown."""
    if not isfinite(figure.low) and not isfinite(figure.high):
        return ""
    low, high = (form.format(end) if isfinite(end) else "?" for end in (figure.low, figure.high))
    return f" ({low} … {high}{unit})"
