"""A font that has the letters of a text, whatever its script."""

from functools import cache
from typing import Any

from PIL import ImageFont

REGULAR = (400, "normal", "regular")
BOXES = "Last Resort"  # a font of matplotlib that has a box in place of every letter there is


@cache
def font_with(letters: frozenset[str], size: int) -> Any | None:
    """A font that has all these letters, at a size in pixels; None where there is none.

    Matplotlib finds the fonts: its own, which have Greek and Cyrillic letters among others, and
    those that are installed on this machine.
    """
    from matplotlib.font_manager import fontManager

    codes = {ord(letter) for letter in letters}
    entries = [entry for entry in fontManager.ttflist if not entry.name.startswith(BOXES)]
    regular = [e for e in entries if e.style == "normal" and e.weight in REGULAR]
    for entry in sorted(regular, key=lambda e: (e.name != "DejaVu Sans", e.name, e.fname)):
        if codes <= _codes(entry.fname):
            return ImageFont.truetype(entry.fname, size)
    return None


@cache
def _codes(file: str) -> frozenset[int]:
    """The code points of the letters of a font."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(file).get_charmap())
