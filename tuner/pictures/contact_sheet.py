"""Contact sheets: the same prompts drawn by the baseline and by settings, one above the other."""

import io
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tuner.pictures.fonts import font_with

CELL = 192  # pixels of a picture in a sheet
GAP = 10
TEXT = 13  # pixels of a line's letters
LINE = 17  # pixels from one line to the next
PROMPT_LINES = 3  # a longer prompt is cut
PER_ROW = 4  # prompts next to each other
INK, GREY, PAPER, EMPTY = "#202020", "#707070", "white", "#eeeeee"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One prompt: its pictures from top to bottom, each with a line of text under it."""

    prompt: str
    pictures: Sequence[Any]  # `PIL.Image`; None where a picture was not kept
    captions: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ContactSheet:
    """What is drawn: a title, what each row of pictures shows, and a column for each prompt."""

    title: str
    rows: Sequence[str]  # 'baseline', 'trial 3: deepcache 3/0'
    columns: Sequence[Column]

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        file = io.BytesIO()
        self.drawn().save(file, format="PNG")
        return file.getvalue()

    def drawn(self) -> Image.Image:
        """The sheet as a picture."""
        font = ImageFont.load_default(TEXT)
        width = GAP + PER_ROW * (CELL + GAP)
        legend = [*_wrapped(_drawable(self.title), width, font), *self._legend(width, font)]
        top = GAP + len(legend) * LINE + GAP
        bands = [self.columns[i : i + PER_ROW] for i in range(0, len(self.columns), PER_ROW)]
        height = top + len(bands) * (self._band_height + GAP)
        sheet = Image.new("RGB", (width, height), PAPER)
        draw = ImageDraw.Draw(sheet)
        for index, line in enumerate(legend):
            colour = INK if index == 0 else GREY
            draw.text((GAP, GAP + index * LINE), line, fill=colour, font=font)
        for index, band in enumerate(bands):
            for place, column in enumerate(band):
                corner = (GAP + place * (CELL + GAP), top + index * (self._band_height + GAP))
                self._draw_column(sheet, draw, corner, column, font)
        return sheet

    def _legend(self, width: int, font: Any) -> list[str]:
        """What the rows are, numbered from the top where there are several."""
        if len(self.rows) < 2:
            return []
        ordinals = [f"row {number}: {row}" for number, row in enumerate(self.rows, 1)]
        return [line for row in ordinals for line in _wrapped(_drawable(row), width, font)]

    @property
    def _band_height(self) -> int:
        """Of one row of prompts: pictures with their captions, then the prompt."""
        return len(self.rows) * (CELL + LINE + 4) + PROMPT_LINES * LINE

    def _draw_column(
        self, sheet: Image.Image, draw: Any, corner: tuple[int, int], column: Column, font: Any
    ) -> None:
        left, top = corner
        for picture, caption in zip(column.pictures, column.captions, strict=True):
            if picture is None:
                draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), fill=EMPTY)
                draw.text((left + 8, top + 8), "picture not kept", fill=GREY, font=font)
            else:
                sheet.paste(_fitted(picture), (left, top))
            draw.text((left, top + CELL + 2), _drawable(caption), fill=INK, font=font)
            top += CELL + LINE + 4
        prompt, font = _readable(column.prompt, font)
        lines = _wrapped(prompt, CELL, font)
        if len(lines) > PROMPT_LINES:
            lines = [*lines[: PROMPT_LINES - 1], f"{lines[PROMPT_LINES - 1][:-3]}..."]
        for line in lines:
            draw.text((left, top), line, fill=GREY, font=font)
            top += LINE


def _fitted(picture: Any) -> Image.Image:
    """The picture at the size of a cell; small ones are enlarged without smoothing."""
    small = max(picture.size) <= CELL // 2
    way = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    factor = CELL / max(picture.size)
    size = tuple(max(1, round(side * factor)) for side in picture.size)
    fitted: Image.Image = picture.convert("RGB").resize(size, way)
    return fitted


def _wrapped(text: str, width: int, font: Any) -> list[str]:
    """A text that the font can draw in lines that are at most `width` pixels wide."""
    letter = max(font.getlength("n"), font.getlength(text) / max(1, len(text)))
    return textwrap.wrap(text, max(1, int(width / letter))) or [""]


def _readable(text: str, font: Any) -> tuple[str, Any]:
    """The text as it can be drawn, and the font: another one where Pillow's own lacks letters."""
    drawable = _drawable(text)
    if drawable.count("?") == text.count("?"):
        return drawable, font
    other = font_with(frozenset(text) - {" ", "\n", "\t"}, TEXT)
    return (drawable, font) if other is None else (text, other)


def _drawable(text: str) -> str:
    """The text in letters that Pillow's own font has: accents are dropped, other signs are '?'."""
    plain = text.replace("×", "x").replace("…", "...")
    decomposed = unicodedata.normalize("NFKD", plain)
    without_accents = "".join(c for c in decomposed if not unicodedata.combining(c))
    return without_accents.encode("ascii", "replace").decode()
