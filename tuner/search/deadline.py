"""The deadline of a search."""

from dataclasses import dataclass
from time import monotonic
from typing import Self


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock; None where there is no deadline."""

    at: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """The deadline in so many seconds from now; none where `seconds` is None."""
        return cls(None if seconds is None else monotonic() + seconds)

    @property
    def left(self) -> float | None:
        """The seconds that are left, 0 once it has passed; None where there is no deadline."""
        return None if self.at is None else max(0.0, self.at - monotonic())

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.left == 0
