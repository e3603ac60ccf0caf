"""LPIPS: a learned perceptual distance to the baseline (Zhang et al., 2018, arXiv 1801.03924)."""

from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import loading, tensor, weights_of

CHECKPOINT = "alexnet-owt-7be5be79.pth"  # torchvision's AlexNet


class Lpips:
    """0 for equal pictures; the paper's AlexNet variant, through torchmetrics.

    It computes in float32 on every device: its network is small, and distances between pictures
    that are nearly equal would be lost in float16.
    """

    def __init__(self, *, device: str) -> None:
        """Load the network: the calibration is part of torchmetrics, torchvision downloads AlexNet.

        Raises:
            UsageError: AlexNet's weights cannot be loaded.
        """
        import torch
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        cache = f"{torch.hub.get_dir()}/checkpoints"
        remedy = (
            f"put torchvision's AlexNet weights into {cache}, or use ssim, which needs no weights"
        )
        with loading("lpips", remedy):
            # The network alone: the metric object around it stores every distance it computes.
            self._network = LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(device)
        self._device = device
        self.identity = f"lpips alex {weights_of(self._network)}"

    def compare(self, images: list[Any], baseline: list[Any]) -> list[float]:
        """The distance of each pair; width and height must be at least 64 pixels."""
        import torch

        with torch.inference_mode():
            distances = self._network(
                tensor(images, self._device), tensor(baseline, self._device), normalize=True
            )
        values: list[float] = distances.reshape(-1).tolist()
        return values


component = MetricKind(name="lpips", load=Lpips, compares=True, checkpoints=(CHECKPOINT,))
