"""Figures as text, for tables and messages."""

from collections.abc import Callable
from dataclasses import dataclass

from tuner import registry
from tuner.measure.figures import Figures


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table of results that is shown where some result has its figure."""

    title: str
    text: Callable[[Figures], str | None]  # None where a result lacks the figure


def _gib(memory: float | None) -> str | None:
    return None if memory is None else f"{memory:.2f} GiB"


# Of figures that not every machine or study has; a new one adds a line here.
COLUMNS = (
    Column(title="speedup by", text=lambda figures: figures.speedup_from),
    Column(title="device memory", text=lambda figures: _gib(figures.memory.device)),
    Column(title="host memory", text=lambda figures: _gib(figures.memory.host)),
)


def quality_text(figures: Figures, width: int = 0) -> str:
    """The score loss and the extra metrics of a result: 'loss 1.00%, ssim 0.95, lpips 0.1'.

    Args:
        figures: of a result, a verification or a measurement.
        width: minimum number of characters for the score loss, so that lines align.
    """
    extra = [
        f", {registry.get('metrics', name).figure} {estimate.value:.3g}"
        for name, estimate in figures.fidelity.items()
    ]
    return f"loss {figures.score_loss.value:{width}.2%}{''.join(extra)}"
