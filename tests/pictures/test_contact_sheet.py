"""Contact sheets: pictures of the same prompts one above the other, with texts under them."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictured import picture
from tuner.pictures.contact_sheet import CELL, GAP, PER_ROW, Column, ContactSheet


def sheet(columns: int, rows: int = 2, prompt: str = "a red circle") -> ContactSheet:
    return ContactSheet(
        title="a title",
        rows=[f"row of {row}" for row in range(rows)],
        columns=[
            Column(
                prompt=prompt,
                pictures=[Image.new("RGB", (64, 64), "red"), *[None] * (rows - 1)],
                captions=["score 1"] * rows,
            )
            for _ in range(columns)
        ],
    )


def test_a_sheet_is_a_png_file_with_each_picture_in_its_place() -> None:
    drawn = Image.open(io.BytesIO(sheet(columns=2).png()))
    assert drawn.format == "PNG"
    red = np.all(np.asarray(drawn.convert("RGB")) == (255, 0, 0), axis=2)
    assert red.sum() == 2 * CELL * CELL
    columns = np.flatnonzero(red.any(axis=0))
    assert (columns[0], columns[-1]) == (GAP, GAP + 2 * CELL + GAP - 1)


def test_more_prompts_than_fit_next_to_each_other_continue_below() -> None:
    one, two = sheet(columns=PER_ROW).drawn(), sheet(columns=PER_ROW + 1).drawn()
    assert two.width == one.width
    assert two.height > one.height + 2 * CELL


@pytest.mark.parametrize("prompt", ["", "word " * 60, "x" * 300, "円と三角", "Müller’s café"])
def test_prompts_of_any_length_and_script_are_drawn_in_the_same_space(prompt: str) -> None:
    assert sheet(columns=1, prompt=prompt).drawn().size == sheet(columns=1).drawn().size


def test_pictures_that_are_not_square_keep_their_shape() -> None:
    wide = Column(prompt="", pictures=[picture(1).resize((128, 32))], captions=[""])
    drawn = np.asarray(ContactSheet(title="", rows=["baseline"], columns=[wide]).drawn())
    rows = np.flatnonzero((drawn[:, GAP : GAP + CELL] != 255).any(axis=(1, 2)))
    assert len(rows) <= CELL // 4 + 1


def test_a_prompt_in_cyrillic_or_greek_is_drawn_in_its_own_letters() -> None:
    drawn = {prompt: sheet(columns=1, prompt=prompt).drawn() for prompt in ("κόκκινος", "круг")}
    for prompt, picture_of in drawn.items():
        assert picture_of != sheet(columns=1, prompt="?" * len(prompt)).drawn()


def test_letters_that_no_font_has_are_question_marks() -> None:
    nowhere = chr(0xF8FF0)  # for private use: no font has it
    assert sheet(columns=1, prompt=nowhere).drawn() == sheet(columns=1, prompt="?").drawn()
