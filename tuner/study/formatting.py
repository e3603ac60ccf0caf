"""Figures as text, for tables and messages."""

from typing import Any

from tuner import registry


def quality_text(figures: Any, width: int = 0) -> str:
    """The score loss and the extra metrics of a result: 'loss 1.00%, ssim 0.95, lpips 0.1'.

    Args:
        figures: what has a `score_loss` and a `fidelity`: a result, a verification, a measurement.
        width: minimum number of characters for the score loss, so that lines align.
    """
    extra = [
        f", {registry.get('metrics', name).figure} {estimate.value:.3g}"
        for name, estimate in figures.fidelity.items()
    ]
    return f"loss {figures.score_loss.value:{width}.2%}{''.join(extra)}"
