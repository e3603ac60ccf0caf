"""ImageReward, learned from people's rankings (Xu et al., 2023, arXiv 2304.05977)."""

import io
from contextlib import redirect_stdout
from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import loading, weights_of

MODEL = "ImageReward-v1.0"


class ImageReward:
    """The reward in standard deviations around its authors' mean, through their package.

    Its release 1.5 imports names that transformers 5 no longer has; where it does not import, the
    error says so.
    """

    def __init__(self, *, device: str, model: str = MODEL) -> None:
        """Load from the hub or from a checkpoint; raises `UsageError` where that fails."""
        remedy = (
            "it needs the package image-reward with transformers 4 and OpenAI's clip, and the "
            "hub's THUDM/ImageReward; pickscore needs no package"
        )
        with loading("imagereward", remedy), redirect_stdout(io.StringIO()):
            import ImageReward as package  # noqa: N813 - its own spelling

            self._model = package.load(model, device=device)
        self.identity = f"imagereward {weights_of(self._model)}"

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        """One reward for each picture and its prompt."""
        import torch

        with torch.inference_mode():
            return [
                float(self._model.score(prompt, image))
                for prompt, image in zip(prompts, images, strict=True)
            ]


component = MetricKind(name="imagereward", load=ImageReward)
