"""What a study answers, in a line or two: the best setting, or why there is none."""

import optuna

from tuner.cli.tables import verified_text
from tuner.search.goal import Goal
from tuner.study import record
from tuner.study.formatting import losses
from tuner.study.record import Result


def answer(study: optuna.Study, goal: Goal) -> list[str]:
    """The fastest setting that meets the goal; else what stands in the way, and the closest one.

    A trial that was stopped early counts with the figures that it had: where nothing is feasible,
    nearly every trial was.
    """
    complete = goal.admitted(record.results(study))
    best = goal.reached(complete)
    if best is not None:
        holds = "verified" if best.verified_today else "measured again"
        return [f"fastest with a {goal}: {_figures(best, holds)}"]
    # What was stopped and would now miss nothing was stopped for limits of an earlier day.
    stopped = goal.admitted(record.stopped(study))
    found = [*complete, *(one for one in stopped if not goal.may_be_met_by(one))]
    closest = goal.closest(found)
    if closest is None:
        return ["no setting was measured; the trials' reasons in `tuner dashboard` tell more"]
    misses = goal.misses(closest)
    obstacles = [
        f"{miss.name} alone of {one.setting} ({miss.text})"
        for miss, one in goal.blocking_limits(found)
    ]
    together = " and ".join(miss.name for miss in misses) + " together"
    line = f"the closest: {_figures(closest)}"
    if closest not in complete:
        line += f", stopped after {closest.prompts} prompts"
    if len(misses) > 1:
        line += f"; {', '.join(miss.text for miss in misses)}"
    return [f"no setting reached {goal}; in the way: {'; '.join(obstacles) or together}", line]


def _figures(one: Result, again: str = "measured again") -> str:
    cost = f"{one.latency_s:.3f} s per image{'' if one.today else '; timed elsewhere'}"
    line = f"{one.setting}, {one.speedup.value:.2f}× ({cost}), {losses(one)}"
    if one.verified is None:
        return line
    return f"{line}; {again}: {verified_text(one)}"
