"""The contract of a metric; each file beside this one is one.

A metric judges pictures by their prompts. The model's own one gives the score, whose loss is a
study's second direction; others stand beside it, and so do comparisons with the baseline.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Metric(Protocol):
    """Judges pictures by their prompts; higher is better."""

    identity: str  # everything that changes its numbers: model, weights

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        """One number for each picture (`PIL.Image`) and its prompt."""


class Comparison(Protocol):
    """Compares pictures with the baseline's of the same prompts and noise."""

    identity: str  # everything that changes its numbers: model, weights

    def compare(self, images: list[Any], baseline: list[Any]) -> list[float]:
        """One number for each picture (`PIL.Image`) and the baseline's of the same size."""


@dataclass(frozen=True, kw_only=True)
class MetricKind:
    """A metric by its name; what it needs is imported when it is loaded.

    Beside the score, its figure is a mean over the prompts: of a comparison as it is, of a metric
    that scores by prompts (a reward) the drop from the baseline, in the metric's own points. A
    reward may be zero or less, so that a share of it would say nothing.
    """

    name: str
    load: Callable[..., Any]  # takes `device` and the metric's own options
    compares: bool = False  # a `Comparison`; else a `Metric`
    above: bool = False  # a limit is the least that the figure may be, not the most
    equal: float = 0.0  # the figure of pictures that are the baseline's

    @property
    def figure(self) -> str:
        """What its figure is called: 'lpips', 'pickscore drop'."""
        return self.name if self.compares else f"{self.name} drop"

    def __call__(self, **options: Any) -> Any:
        """Load the metric; raises `UsageError` where what it needs cannot be had."""
        return self.load(**options)
