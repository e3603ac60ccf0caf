"""DeepCache between two steps only, through the package DeepCache."""

from dataclasses import dataclass
from typing import ClassVar

from tuner.accelerators import Value, knob
from tuner.accelerators.deepcache import DeepCache


@dataclass(frozen=True, kw_only=True)
class DeepCacheWindow(DeepCache):
    """DeepCache from step `start` to before step `end` (Ma et al., 2023, arXiv 2312.00858).

    The first steps lay out the picture and the last ones draw its detail: there every pass is a
    full one. A wider window is faster and drifts further.
    """

    name: ClassVar[str] = "deepcache-window"
    order: ClassVar[int] = 0
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"cache_interval": 3, "cache_branch_id": 0, "start": 3, "end": 45},
    )

    neutral: ClassVar[dict[str, Value]] = {**DeepCache.neutral, "start": 0, "end": 1000}

    start: int = knob(
        tuple(range(1, 9)),
        low=0,
        high=1000,
        gentler_when_higher=True,
        help="the first step that may reuse",
    )
    end: int = knob(
        tuple(range(10, 51, 5)), low=0, high=1000, help="the first step that may not any more"
    )

    def must_be_full(self, step: int) -> bool:
        """Outside the window every pass is full."""
        return not self.start <= step < self.end


component = DeepCacheWindow
