"""Figures of results as text, for tables and messages; `tuner.formatting` writes their numbers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tuner import registry
from tuner.formatting import percent, plain, with_unit
from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate

# How a speedup is known where it was not timed in enough pairs, by `Figures.speedup_from`.
TIMING = {"model": "predicted", "few pairs": "few pairs"}


TIMING_TITLE = "timing"  # of a column with what `timing` returns


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A figure with a unit that not every machine or study has; it is shown where it is known."""

    key: str  # in files, and of the baseline's attributes; ends with the unit: 'memory_gib'
    title: str  # as people read it: 'device memory'
    unit: str
    of: Callable[[Figures], float | Estimate | None]  # None where it was not measured
    digits: int = 2  # after the decimal point
    explanation: str = ""  # follows the figure on the page of a trial

    def text(self, figures: Figures) -> str:
        """With its unit and, if it is an `Estimate`, its 95% interval; '' where it is unknown."""
        value = self.of(figures)
        return "" if value is None else self.text_of(value)

    def text_of(self, value: float | Estimate) -> str:
        """The same for a value of this quantity: '1.25 GiB', '12.3 J (11.9 … 12.7 J)'."""
        return with_unit(value, self.unit, self.digits)


# Tables, notes, the page of a trial, the dashboard and the report show these; a new one is added
# here only.
QUANTITIES = (
    Quantity(
        key="memory_gib",
        title="device memory",
        unit="GiB",
        of=lambda figures: figures.memory.device,
        explanation="at most, for one batch",
    ),
    Quantity(
        key="host_memory_gib",
        title="host memory",
        unit="GiB",
        of=lambda figures: figures.memory.host,
        explanation="at most, of the whole process",
    ),
)


def known_quantities(results: Iterable[Figures]) -> list[Quantity]:
    """The quantities that at least one of these results has."""
    results = list(results)
    return [q for q in QUANTITIES if any(q.of(figures) is not None for figures in results)]


def quantities_of(figures: Figures) -> list[tuple[Quantity, float | Estimate]]:
    """The quantities that a result has, with their values."""
    values = [(quantity, quantity.of(figures)) for quantity in QUANTITIES]
    return [(quantity, value) for quantity, value in values if value is not None]


def baseline_quantities(stored: Mapping[str, Any]) -> list[tuple[Quantity, float]]:
    """The quantities of the baseline, from the study's attribute of that name."""
    values = [(quantity, stored.get(quantity.key)) for quantity in QUANTITIES]
    return [(quantity, value) for quantity, value in values if value is not None]


def timing(figures: Figures) -> str | None:
    """How the speedup is known, in a word or two; None where it was timed in enough pairs."""
    source = figures.speedup_from
    return None if source is None else TIMING.get(source, source)


def quality_text(figures: Figures, width: int = 0) -> str:
    """The score loss and the extra metrics of a result: 'loss 1.00%, ssim 0.95, lpips 0.1'.

    Args:
        figures: of a result, a verification or a measurement.
        width: minimum number of characters for the score loss, so that lines align.
    """
    extra = [
        f", {registry.get('metrics', name).figure} {plain(estimate.value)}"
        for name, estimate in figures.fidelity.items()
    ]
    return f"loss {percent(figures.score_loss.value, width=width)}{''.join(extra)}"
