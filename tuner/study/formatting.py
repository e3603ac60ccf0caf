"""Figures of results as text, for tables and messages; `tuner.formatting` writes their numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from tuner import registry
from tuner.formatting import gib, percent, plain
from tuner.measure.figures import Figures

# How a speedup is known where it was not timed to the end, by `Figures.speedup_from`.
TIMING = {"model": "predicted", "few pairs": "few pairs"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table of results that is shown where some result has its figure."""

    title: str
    text: Callable[[Figures], str | None]  # None where a result lacks the figure


def timing(figures: Figures) -> str | None:
    """How the speedup is known, in a word or two; None where it was timed to the end."""
    source = figures.speedup_from
    return None if source is None else TIMING.get(source, source)


def _memory(memory: float | None) -> str | None:
    return None if memory is None else gib(memory)


TIMING_COLUMN = Column(title="timing", text=timing)
# Of figures that not every machine or study has; a new one adds a line here.
COLUMNS = (
    TIMING_COLUMN,
    Column(title="device memory", text=lambda figures: _memory(figures.memory.device)),
    Column(title="host memory", text=lambda figures: _memory(figures.memory.host)),
)


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
