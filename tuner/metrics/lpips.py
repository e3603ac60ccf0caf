"""Learned perceptual distance to the baseline's picture (Zhang et al., 2018, arXiv 1801.03924)."""

from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import loading, tensor, weights_of


class Lpips:
    """0 for equal pictures; the paper's AlexNet variant, through torchmetrics."""

    def __init__(self, *, device: str) -> None:
        """Load the network; torchmetrics brings the calibration, torchvision fetches AlexNet.

        Raises `UsageError` where AlexNet's weights cannot be had.
        """
        import torch
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        cache = f"{torch.hub.get_dir()}/checkpoints"
        remedy = f"put torchvision's AlexNet weights into {cache}, or use ssim, which needs none"
        with loading("lpips", remedy):
            # Its network, not the metric around it, which would keep every distance it ever saw.
            self._network = LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(device)
        self._device = device
        self.identity = f"lpips alex {weights_of(self._network)}"

    def compare(self, images: list[Any], baseline: list[Any]) -> list[float]:
        """The distance of each pair; both sides of a picture need at least 64 pixels."""
        import torch

        with torch.inference_mode():
            found = self._network(
                tensor(images, self._device), tensor(baseline, self._device), normalize=True
            )
        values: list[float] = found.reshape(-1).tolist()
        return values


component = MetricKind(name="lpips", load=Lpips, compares=True)
