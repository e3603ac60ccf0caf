"""The old script's walk: nested loops, past what is nowhere bolder than the best so far.

It goes through the product in the order of its `for` loops. A setting none of whose knobs is more
aggressive than in the fastest feasible setting found so far is skipped, because it cannot be
faster. With a target it ends at the first setting that meets it. It is here for comparison.
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
from tuner.study.results import fastest_feasible, read_results

Flat = Mapping[str, Value]
LOOPS = ("deepcache", "tgate", "tome")  # the script's, outermost first; it knew no others
DOWNWARD = ("tome.max_downsample",)  # it tried the greatest value first


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


def gentle_knobs() -> frozenset[str]:
    """The knobs of which more is gentler, as 'tgate.gate_step'."""
    return frozenset(
        f"{name}.{knob.name}"
        for name, accelerator in registry.components("accelerators").items()
        for knob in accelerator.knobs()
        if knob.gentler_when_higher
    )


def is_bolder(point: Flat, than: Flat, gentle: frozenset[str]) -> bool:
    """Whether a knob of a point is more aggressive than in another; `gentle` as `gentle_knobs`."""
    return any(
        value < than[name] if name in gentle else value > than[name]
        for name, value in point.items()
    )


class Walk(Sweep):
    """One trial for each setting that the script would have tried."""

    def __init__(self, space: Space, limits: Limits) -> None:
        super().__init__(space, loops(space.offered()))
        self._limits = limits
        self._gentle = gentle_knobs()
        self._best: tuple[float, Flat] | None = None  # speedup, and the point
        self._found: tuple[int, Place | None] | None = None

    def begin(self, study: optuna.Study) -> None:
        """Look up the fastest feasible result."""
        best = fastest_feasible(read_results(study), self._limits)
        self._found = self._best = None
        if best is not None:
            self._best = (best.speedup.value, log_of(study).params(best.trial))

    def share(self) -> float | None:
        """It depends on what is found."""
        return None

    def find(self, position: int) -> Place | None:
        """Pass by what is nowhere bolder than the best; for good, whatever is found later."""
        if self._found is None or self._found[0] != position:
            self._found = (position, self._first_bolder(position))
        return self._found[1]

    def _first_bolder(self, position: int) -> Place | None:
        for place in range(position, self.points.count):
            if self._best is None or is_bolder(self.points[place], self._best[1], self._gentle):
                return Place(position=place, point=place)
        return None

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Remember the fastest feasible one."""
        if state != TrialState.COMPLETE or values is None:
            return
        feasible = all(excess <= 0 for excess in trial.constraints.values())
        accelerates = bool(trial.user_attrs["setting"])
        if feasible and accelerates and (self._best is None or values[0] > self._best[0]):
            self._best, self._found = (values[0], trial.params), None
