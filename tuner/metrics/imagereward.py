"""ImageReward, learned from people's rankings (Xu et al., 2023, arXiv 2304.05977)."""

import io
from contextlib import redirect_stdout
from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import loading, weights_of

MODEL = "ImageReward-v1.0"
REPOSITORY = "THUDM/ImageReward"


class ImageReward:
    """The reward, normalised by its authors to mean 0 and standard deviation 1; their package.

    It computes in float32 on every device, as the package loads it. The package's release 1.5
    cannot be imported with transformers 5, which lacks names that it imports; the error then says
    what it needs.
    """

    def __init__(self, *, device: str, model: str = MODEL) -> None:
        """Load from the hub or from a checkpoint; raises `UsageError` if that fails."""
        remedy = (
            "it needs the package image-reward with transformers 4 and OpenAI's clip, and "
            f"{REPOSITORY} from the hub; pickscore needs no further package"
        )
        with loading("imagereward", remedy), redirect_stdout(io.StringIO()):
            import ImageReward as package  # noqa: N813 - the package's spelling

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


component = MetricKind(name="imagereward", load=ImageReward, repositories=(REPOSITORY,))
