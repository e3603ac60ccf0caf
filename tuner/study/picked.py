"""Picking one of a study's results by a rule."""

from collections.abc import Iterable

from tuner.limits import Limits
from tuner.measure.figures import Figures
from tuner.picking import LOSS, SPEEDUP, Candidate, picked
from tuner.study.results import Result


def picked_result(rule: str, results: Iterable[Result], limits: Limits, name: str) -> Result:
    """The accelerated result that a rule of `tuner.picking` picks; messages call the study `name`.

    Raises `UsageError` if the rule is unknown or picks nothing; the line names the nearest result.
    """
    accelerated = [result for result in results if result.setting.accelerators]
    return picked(rule, [_candidate(result, limits) for result in accelerated], name)


def _candidate(result: Result, limits: Limits) -> Candidate[Result]:
    measured = [result, *([result.verified] if result.verified is not None else [])]
    return Candidate(
        item=result,
        trial=result.trial,
        setting=str(result.setting),
        feasible=result.feasible(limits),
        figures=[_figures(part) for part in measured],
    )


def _figures(figures: Figures) -> dict[str, float]:
    extra = {name: estimate.value for name, estimate in figures.fidelity.items()}
    return {SPEEDUP: figures.speedup.value, LOSS: figures.score_loss.value, **extra}
