"""Broken pictures are rejected: black ones, constant ones, and values that are not numbers."""

import pytest
import torch

from tuner.errors import BadPictureError
from tuner.measure.pictures import checked


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (torch.zeros(3, 8, 8), "black"),
        (torch.full((3, 8, 8), 0.5), "one constant colour"),
        (torch.full((3, 8, 8), float("nan")), "NaN or infinite"),
        (torch.linspace(0, 1, 192).reshape(3, 8, 8) / 0, "NaN or infinite"),
    ],
)
def test_broken_pictures_are_rejected(picture: torch.Tensor, words: str) -> None:
    healthy = torch.linspace(0, 1, 192).reshape(3, 8, 8)
    assert len(checked(torch.stack([healthy]))) == 1
    with pytest.raises(BadPictureError, match=f"picture 1 of the batch .*{words}"):
        checked(torch.stack([healthy, picture]))
