"""The best of a study's results: the fastest, and the Pareto front."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from tuner.limits import Limits
from tuner.setting import Setting
from tuner.study.results import Result

T = TypeVar("T")
AS_FAST = 0.02  # the share to which the winner's speedup is known; a smaller difference is none


def pareto_front(results: Iterable[Result], limits: Limits) -> list[Result]:
    """The Pareto front, slowest first: no other result is at least as fast and loses no more.

    An infeasible result never displaces a feasible one from the front.
    """
    front: list[Result] = []
    seen: set[Setting] = set()
    least_loss = {True: float("inf"), False: float("inf")}  # of feasible results; of all
    order = sorted(results, key=lambda r: (-r.speedup.value, r.score_loss.value, r.trial))
    for result in order:
        feasible = result.feasible(limits)
        if result.score_loss.value < least_loss[feasible] and result.setting not in seen:
            front.append(result)
            seen.add(result.setting)
            for kind in {feasible, False}:
                least_loss[kind] = min(least_loss[kind], result.score_loss.value)
    return front[::-1]


def fastest_feasible(results: Iterable[Result], limits: Limits) -> Result | None:
    """The fastest feasible result, the baseline left out.

    One that was verified is, unless another is faster by more than `AS_FAST`: to verify every one
    that seems a little faster would find the luckiest measurement.
    """
    feasible = [r for r in results if r.feasible(limits) and r.setting.accelerators]
    return fastest_of(feasible, lambda r: r.speedup.value, lambda r: r.verified_now)


def fastest_of(
    items: Sequence[T], speedup: Callable[[T], float], is_verified: Callable[[T], bool]
) -> T | None:
    """The fastest verified one, unless another is faster by more than `AS_FAST`."""
    fastest = max(items, key=speedup, default=None)
    verified = max(filter(is_verified, items), key=speedup, default=None)
    if fastest is None or verified is None:
        return fastest
    return fastest if _is_above(speedup(fastest), speedup(verified)) else verified


def is_faster(result: Result, other: Result) -> bool:
    """Whether a result is faster than another one by more than `AS_FAST`."""
    return _is_above(result.speedup.value, other.speedup.value)


def _is_above(speedup: float, other: float) -> bool:
    return speedup > (1 + AS_FAST) * other
