"""Peak signal-to-noise ratio to the baseline's picture, through torchmetrics."""

import math
from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import tensor

# Pictures have 8 bits a channel. Rounding alone makes noise of variance 1/12 (in steps squared),
# which is this many decibels below the peak. Closer pictures cannot be distinguished from equal
# ones, whose ratio would be infinite; so this is the maximum.
HIGHEST_DB = 10 * math.log10(12 * 255**2)


class Psnr:
    """The ratio in decibels, at most 58.9; needs no weights."""

    identity = "psnr"

    def __init__(self, *, device: str) -> None:
        self._device = device

    def compare(self, images: list[Any], baseline: list[Any]) -> list[float]:
        """The ratio of each pair."""
        from torchmetrics.functional.image import peak_signal_noise_ratio

        ratios = peak_signal_noise_ratio(
            tensor(images, self._device),
            tensor(baseline, self._device),
            data_range=1.0,
            reduction="none",
            dim=(1, 2, 3),
        )
        values: list[float] = ratios.clamp(max=HIGHEST_DB).tolist()
        return values


component = MetricKind(name="psnr", load=Psnr, compares=True, above=True, equal=HIGHEST_DB)
