"""What pictures must be before a metric may judge them, telling equal ones, and keeping them."""

import base64
import hashlib
import io
from typing import Any

import numpy as np

from tuner.errors import BadPictureError


def checked(tensor: Any, whose: str = "") -> list[Any]:
    """PIL pictures from a pipeline's output, shape (batch, 3, height, width) in [0, 1].

    `whose` they are is told where one is broken.

    Raises `BadPictureError` where one is not a number, black or constant: a metric may well give
    such a picture a good score.
    """
    from PIL import Image

    broken = f"{whose}picture {{}} of the batch {{}}"
    array = tensor.detach().float().cpu().numpy()
    for index, picture in enumerate(array):
        if not np.isfinite(picture).all():
            raise BadPictureError(broken.format(index, "holds values that are not numbers"))
        if picture.max() <= 1 / 255:
            raise BadPictureError(broken.format(index, "is black"))
        if picture.max() - picture.min() <= 1 / 255:
            raise BadPictureError(broken.format(index, "is one constant colour"))
    pixels = (array.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
    return [Image.fromarray(picture) for picture in pixels]


def digest(image: Any) -> str:
    """A short digest of a picture's pixels."""
    return hashlib.sha256(image.tobytes()).hexdigest()[:12]


def to_text(image: Any) -> str:
    """A picture as a PNG file in base64, from which every pixel comes back."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def from_text(png: str) -> Any:
    """The picture that `to_text` wrote."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png)))
    image.load()
    return image
