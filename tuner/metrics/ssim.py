"""Structural similarity to the baseline's picture (Wang et al., 2004), through torchmetrics."""

from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import tensor


class Ssim:
    """1 for equal pictures, 0 for unrelated ones; needs no weights."""

    identity = "ssim"

    def __init__(self, *, device: str) -> None:
        self._device = device

    def compare(self, images: list[Any], baseline: list[Any]) -> list[float]:
        """The similarity of each pair; width and height must be at least 11 pixels."""
        from torchmetrics.functional.image import structural_similarity_index_measure

        similarities = structural_similarity_index_measure(
            tensor(images, self._device),
            tensor(baseline, self._device),
            data_range=1.0,
            reduction="none",
        )
        values: list[float] = similarities.reshape(-1).tolist()  # type: ignore[union-attr]
        return values


component = MetricKind(name="ssim", load=Ssim, compares=True, above=True, equal=1.0)
