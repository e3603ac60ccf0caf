"""Small copies of pictures, as they are stored: WebP files."""

import io
from typing import Any

from PIL import Image

MAX_SIDE = 256  # pixels of a stored picture
LOSSLESS_SIDE = 96  # pictures up to this size are stored without loss: they take a few kB anyway
QUALITY = 90  # of larger ones, of 100


def encoded(picture: Any) -> bytes:
    """A WebP file of a picture (`PIL.Image`), with at most `MAX_SIDE` pixels on each side."""
    copy = picture.convert("RGB")
    copy.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    copy.save(file, format="WEBP", quality=QUALITY, lossless=max(copy.size) <= LOSSLESS_SIDE)
    return file.getvalue()


def decoded(webp: bytes) -> Any:
    """The picture of which `encoded` made the file."""
    picture = Image.open(io.BytesIO(webp))
    picture.load()
    return picture
