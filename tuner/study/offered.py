"""The results that a user chooses from: the front, or also the best of each combination."""

from collections.abc import Iterable, Sequence

from tuner.limits import Limits
from tuner.study.best import fastest_feasible, pareto_front
from tuner.study.results import Result


def offered(results: Sequence[Result], limits: Limits, *, by_combination: bool) -> list[Result]:
    """The front, fastest first; then the best of each combination that is not on it."""
    front = pareto_front(results, limits)[::-1]
    if not by_combination:
        return front
    best = (fastest_feasible(group, limits) for group in group_by_combination(results).values())
    return [*front, *(result for result in best if result is not None and result not in front)]


def group_by_combination(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results by their combination of accelerators, without the baseline's."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.setting.accelerators:
            groups.setdefault(result.setting.combination, []).append(result)
    return groups
