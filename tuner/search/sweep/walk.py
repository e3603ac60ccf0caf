"""The old script's walk: nested loops that skip what cannot be faster than the best so far.

It goes through the product in the order of the script's `for` loops. Skipped are settings with no
knob more aggressive than the best feasible one's. With a target it ends at the first setting that
meets it. It is here for comparison.
"""

from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner import registry
from tuner.accelerators import Value
from tuner.limits import Limits
from tuner.search.space import Space
from tuner.search.sweep.sweep import Points, Sweep
from tuner.storage.cursor import Place
from tuner.storage.log import log_of
from tuner.study.results import read_results

Flat = Mapping[str, Value]
LOOPS = ("deepcache", "tgate", "tome")  # the script's loops, outermost first; it had no others
DOWNWARD = ("tome.max_downsample",)  # the greatest value first


def loops(offered: Mapping[str, tuple[Value, ...]]) -> Points:
    """The product of 'deepcache.cache_interval' and so on, in the script's order."""

    def place(name: str) -> int:
        accelerator = name.split(".")[0]
        return LOOPS.index(accelerator) if accelerator in LOOPS else len(LOOPS)

    return Points(
        {
            name: offered[name][::-1] if name in DOWNWARD else offered[name]
            for name in sorted(offered, key=place)
        }
    )


def inverted_knobs() -> frozenset[str]:
    """The knobs whose greater values are less aggressive, such as 'tgate.gate_step'."""
    return frozenset(
        f"{name}.{knob.name}"
        for name, accelerator in registry.components("accelerators").items()
        for knob in accelerator.knobs()
        if knob.gentler_when_higher
    )


def is_more_aggressive(point: Flat, than: Flat, inverted: frozenset[str]) -> bool:
    """Whether any knob of a point is more aggressive than in another point.

    `inverted` are the names that `inverted_knobs` returns.
    """
    return any(
        value < than[name] if name in inverted else value > than[name]
        for name, value in point.items()
    )


class Walk(Sweep):
    """One trial for each setting that the script would have tried."""

    def __init__(self, space: Space, limits: Limits) -> None:
        super().__init__(space, loops(space.offered()))
        self._limits = limits
        self._inverted = inverted_knobs()
        self._best: tuple[float, Flat] | None = None  # its speedup, and the point
        self._next: tuple[int, Place | None] | None = None  # by the position asked for

    def begin(self, study: optuna.Study) -> None:
        """Look up the fastest feasible result so far."""
        results = read_results(study)
        feasible = [r for r in results if r.feasible(self._limits) and r.setting.accelerators]
        best = max(feasible, key=lambda result: result.speedup.value, default=None)
        self._next = self._best = None
        if best is not None:
            self._best = (best.speedup.value, log_of(study).params(best.trial))

    def share(self) -> float | None:
        """Unknown: it depends on the results."""
        return None

    def find(self, position: int) -> Place | None:
        """Skip the settings with no knob more aggressive than the best feasible one's.

        They stay skipped if another setting becomes the best one.
        """
        if self._next is None or self._next[0] != position:
            self._next = (position, self._first_more_aggressive(position))
        return self._next[1]

    def _first_more_aggressive(self, position: int) -> Place | None:
        for place in range(position, self.points.count):
            if self._best is None or is_more_aggressive(
                self.points[place], self._best[1], self._inverted
            ):
                return Place(position=place, point=place)
        return None

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Remember the fastest feasible setting."""
        if state != TrialState.COMPLETE or values is None:
            return
        feasible = all(excess <= 0 for excess in trial.constraints.values())
        accelerates = bool(trial.user_attrs["setting"])
        if feasible and accelerates and (self._best is None or values[0] > self._best[0]):
            self._best, self._next = (values[0], trial.params), None
