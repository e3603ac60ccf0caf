"""What a running search reports, for a progress display."""

from typing import Any

from tuner.setting import Setting
from tuner.study.results import Result


class Observer:
    """Base class: ignores every report."""

    def advanced(self, done: int, of: int) -> None:
        """How far the study is: in trials, or in the points of a sweep."""

    def trial_began(self, number: int, setting: Setting) -> None:
        """A trial has its setting."""

    def trial_went_on(self, number: int, measured: Any) -> None:
        """A trial has measured another batch of prompts: a `Measurement` so far."""

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """A trial was recorded."""

    def notice(self, line: str) -> None:
        """A line for the user."""

    def verified(self, result: Result) -> None:
        """A result was verified, on prompts that the search never used."""
