"""Figures in words, as tables and messages show them."""

from typing import Any

from tuner import registry


def losses(measured: Any, width: int = 0) -> str:
    """What a setting costs, in a few words: the score loss, and the figures beside it."""
    beside = [
        f", {registry.get('metrics', name).figure} {one.value:.3g}"
        for name, one in measured.fidelity.items()
    ]
    return f"loss {measured.score_loss.value:{width}.2%}{''.join(beside)}"
