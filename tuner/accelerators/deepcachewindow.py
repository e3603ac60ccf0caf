"""DeepCache within a window of steps, through the package DeepCache."""

from dataclasses import dataclass
from typing import ClassVar

from tuner.accelerators import Value, knob
from tuner.accelerators.deepcache import DeepCache
from tuner.errors import UnfitError
from tuner.plain_code import PlainCode, Use


@dataclass(frozen=True, kw_only=True)
class DeepCacheWindow(DeepCache):
    """DeepCache from step `start` until before step `end` (Ma et al., 2023, arXiv 2312.00858).

    The first steps determine the layout of the picture and the last ones its detail, so outside the
    window every pass is a full one. A wider window is faster and changes the picture more.
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
        help="first step that may reuse features",
    )
    end: int = knob(
        tuple(range(10, 51, 5)),
        low=0,
        high=1000,
        help="first step that may no longer reuse features",
    )

    def must_be_full(self, step: int) -> bool:
        """Outside the window every pass is full."""
        return not self.start <= step < self.end

    def plain_code(self, use: Use) -> PlainCode:
        """Refused: the window is this project's own."""
        raise UnfitError(f"{self.name}: the package DeepCache has no window of steps")


component = DeepCacheWindow
