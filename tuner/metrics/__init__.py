"""The contract of a metric; each file beside this one is one."""

from typing import Any, Protocol


class Metric(Protocol):
    """Judges pictures by their prompts; higher is better."""

    identity: str  # everything that changes its numbers: model, weights

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        """One number for each picture (`PIL.Image`) and its prompt."""
