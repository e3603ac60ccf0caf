"""When the time of a search is up."""

from dataclasses import dataclass
from time import monotonic
from typing import Self


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock; None where there is no hurry."""

    at: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """So many seconds from now."""
        return cls(None if seconds is None else monotonic() + seconds)

    @property
    def left(self) -> float | None:
        """The seconds until it, none after it; None where there is no hurry."""
        return None if self.at is None else max(0.0, self.at - monotonic())

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.left == 0
