"""A stand-in for the CLIP score: the network at full size, with random weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import open_clip
import torch

from tuner.metrics.clip import ClipScore

RAISED_BY = 30.0  # points


@contextmanager
def random_clip(device: str, network: str | None = None) -> Iterator[None]:
    """In a ``with`` block, load the CLIP score with random weights, without any download.

    Its speed is that of the real one. Random embeddings are almost orthogonal, and a study needs a
    positive mean score: every score is raised by `RAISED_BY`, about what the real one gives. So a
    score hardly depends on its picture, and hardly any setting loses more than 2%.

    Args:
        device: where the weights are drawn, which takes a CPU long.
        network: open_clip's name of a smaller network instead of the one that is asked for.
    """
    create, score = open_clip.create_model_and_transforms, ClipScore.score

    def created(model: str, **_: Any) -> Any:
        torch.manual_seed(0)
        with torch.device(device):
            return create(network or model, pretrained=None, device=device)

    def raised(self: ClipScore, images: list[Any], prompts: list[str]) -> list[float]:
        return [RAISED_BY + points for points in score(self, images, prompts)]

    with (
        patch.object(open_clip, "create_model_and_transforms", created),
        patch.object(ClipScore, "score", raised),
    ):
        yield
