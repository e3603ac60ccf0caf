"""Pictures: rejecting broken ones, comparing them by a digest, and storing them as text."""

import base64
import hashlib
import io
from typing import Any

import numpy as np

from tuner.errors import BadPictureError


def checked(tensor: Any, owner: str = "") -> list[Any]:
    """Convert a pipeline's output to PIL pictures, none of which is broken.

    Args:
        tensor: shape (batch, 3, height, width), values in [0, 1].
        owner: put before the word 'picture' in the error, such as "the baseline's ".

    Raises:
        BadPictureError: a picture has values that are not numbers, is black, or is constant; a
            metric may give such a picture a good score.
    """
    from PIL import Image

    broken = f"{owner}picture {{}} of the batch {{}}"
    array = tensor.detach().float().cpu().numpy()
    for index, picture in enumerate(array):
        if not np.isfinite(picture).all():
            raise BadPictureError(broken.format(index, "has NaN or infinite values"))
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
    """A picture as a PNG file in base64; nothing is lost."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def from_text(png: str) -> Any:
    """The picture of which `to_text` made the text."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png)))
    image.load()
    return image
