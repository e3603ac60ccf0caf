"""Contact sheets on the page: compressed, as data URLs, so that the page stays small."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.pictures.thumbnails import decoded
from tuner.report.content import StudyContent
from tuner.study.results import Result

MOST = 24  # sheets on a page of one study
BUDGET = 2_500_000  # bytes of all pictures of a page
# Widths in pixels and qualities of WebP that are tried, best first, until a sheet is small enough.
STEPS = ((1440, 82), (1200, 75), (960, 70), (720, 60), (480, 50), (320, 40), (240, 30))


@dataclass(frozen=True, kw_only=True)
class SheetPicture:
    """A sheet of a setting, or of the baseline, as an image of the page."""

    result: Result | None  # None for the baseline
    url: str  # a data URL
    width: int
    height: int


def pictures_of(contents: Sequence[StudyContent], budget: int = BUDGET) -> list[list[SheetPicture]]:
    """The sheets of each study; of several studies only one each, that of the best setting.

    `budget` is how many bytes all of them may take on the page.
    """
    most = MOST if len(contents) == 1 else 1
    return [_pictures(content, budget // len(contents), most) for content in contents]


def _pictures(content: StudyContent, budget: int, most: int) -> list[SheetPicture]:
    """The sheets of the best setting and of the rest of the front, the fastest first.

    Together they take at most `budget` bytes. The baseline's own sheet is shown only where no
    setting has one: those of settings show the baseline too.
    """
    first = [content.best] if content.best is not None else []
    results = first + [result for result in content.front[::-1] if result not in first]
    sheets: list[tuple[Result | None, bytes]] = [
        (result, png) for result in results for png in content.sheets.trials.get(result.trial, [])
    ]
    if not sheets:
        sheets = [(None, png) for png in content.sheets.baseline]
    chosen = sheets[:most]
    return [_picture(result, png, budget // len(chosen)) for result, png in chosen]


def _picture(result: Result | None, png: bytes, budget: int) -> SheetPicture:
    image = decoded(png).convert("RGB")
    for width, quality in STEPS:
        small = image.copy()
        small.thumbnail((width, 8 * width))
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=2)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        if len(encoded) <= budget:
            break
    return SheetPicture(
        result=result,
        url=f"data:image/webp;base64,{encoded}",
        width=small.width,
        height=small.height,
    )
