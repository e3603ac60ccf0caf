"""The result of a study in a line or two: the best setting, or why there is none."""

import optuna

from tuner.formatting import seconds, times
from tuner.search.goal import Goal
from tuner.study.formatting import quality_text
from tuner.study.results import Result, read_results, read_stopped
from tuner.study.verdicts import ELSEWHERE, verified_text


def answer(study: optuna.Study, goal: Goal) -> list[str]:
    """The fastest setting that meets the goal; else the blocking limits and the closest setting.

    A limit is blocking if some setting misses that limit and no other. Trials that were stopped
    early count with the figures that they had, because where nothing is feasible nearly all
    trials were stopped.
    """
    complete = goal.admitted(read_results(study))
    best = goal.reached(complete)
    if best is not None:
        label = "verified" if best.verified_now else "verification"
        line = f"fastest setting with {goal}: {_figures(best, label)}"
        if best.speedup.value <= 1:
            return [f"no setting with {goal} is faster than the baseline", line]
        return [line]
    # A stopped trial that misses nothing was stopped under limits that have changed since.
    stopped = goal.admitted(read_stopped(study))
    results = [*complete, *(result for result in stopped if not goal.may_be_met_by(result))]
    closest = goal.closest(results)
    if closest is None:
        return ["no setting was measured; `tuner dashboard` shows why each trial failed"]
    line = f"closest setting: {_figures(closest)}"
    if closest not in complete:
        line += f", stopped after {closest.prompts} prompts"
    misses = goal.misses(closest)
    if len(misses) > 1:
        line += f"; {', '.join(miss.text for miss in misses)}"
    return [f"no setting met the goal ({goal}); {_blocking_limits(goal, results, closest)}", line]


def _blocking_limits(goal: Goal, results: list[Result], closest: Result) -> str:
    blocking = [
        f"blocking limit: {miss.name}; {result.setting} misses only this ({miss.text})"
        for miss, result in goal.blocking_limits(results)
    ]
    if blocking:
        return "; ".join(blocking)
    names = " and ".join(miss.name for miss in goal.misses(closest))
    return f"blocking limits: {names}; every setting misses at least two"


def _figures(result: Result, label: str = "verification") -> str:
    """A setting with its figures, and those of its verification after a label."""
    latency = f"{seconds(result.latency_s)} per image{'' if result.current else f'; {ELSEWHERE}'}"
    line = f"{result.setting}, {times(result.speedup.value)} ({latency}), {quality_text(result)}"
    if result.verified is None:
        return line
    return f"{line}; {label}: {verified_text(result)}"
