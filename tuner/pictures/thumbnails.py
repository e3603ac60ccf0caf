"""Small copies of pictures, as they are stored: WebP files."""

import io
from typing import Any

from PIL import Image

MAX_SIDE = 256  # pixels of a stored picture
LOSSLESS_SIDE = 96  # pictures up to this size are stored without loss: they take a few kB anyway
QUALITY = 90  # of larger ones, of 100
MOST_PIXELS = 40_000_000  # of a picture that is read; a contact sheet has about a million
FORMATS = ("PNG", "WEBP")  # that are read


def encoded(picture: Any) -> bytes:
    """A WebP file of a picture (`PIL.Image`), with at most `MAX_SIDE` pixels on each side."""
    copy = picture.convert("RGB")
    copy.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    copy.save(file, format="WEBP", quality=QUALITY, lossless=max(copy.size) <= LOSSLESS_SIDE)
    return file.getvalue()


def decoded(file: bytes) -> Any:
    """The picture (`PIL.Image`) of a WebP or PNG file.

    Raises:
        ValueError: it is no such file, is damaged, or would have more than `MOST_PIXELS`.
    """
    try:
        picture = Image.open(io.BytesIO(file), formats=FORMATS)
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"it has {width} × {height} pixels")
        picture.load()
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise ValueError(f"a stored picture cannot be read: {error}") from error
    return picture
