"""Text of others on a terminal and in a table: it controls and computes nothing."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from tests.fuzz.hostile import TEXTS
from tuner.cli.plain_console import PlainConsole
from tuner.printable import printable, printable_json
from tuner.report.csv_tables import csv_text

ANY = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=())))


@given(ANY)
def test_printable_text_can_be_encoded_and_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not set(shown.encode()) & (set(range(32)) - {9, 10} | {127})


def test_ordinary_text_is_printed_as_it_is() -> None:
    text = "SD1.5/DDIM/50 résolution=512\t2.80× (2.71 … 2.88)\n日本語 🙂"
    assert printable(text) == text


@given(ANY)
def test_json_for_a_terminal_holds_the_same_text(text: str) -> None:
    shown = printable_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(shown) == text
    assert printable(shown) == shown


def test_a_console_keeps_its_own_styles_and_removes_those_of_the_text() -> None:
    stream = io.StringIO()
    console = PlainConsole(file=stream, force_terminal=True, color_system="standard", width=60)
    table = Table("\x1b[31mname")
    table.add_row("a\x1b]0;title\x07b")
    console.print("\x1b[2Jtext", style="bold", markup=False)
    console.print(table)
    written = stream.getvalue()
    assert "\x1b[1m" in written  # the console's own bold
    assert "\x1b[2J" not in written and "\x1b[31m" not in written and "\x1b]0;" not in written
    assert "2Jtext" in written and "a]0;titleb" in written


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")']
)
def test_no_cell_of_a_table_is_a_formula(text: str) -> None:
    names, cells = csv_text([{text: text}]).split("\r\n")[:2]
    assert names.lstrip('"').startswith("'") and cells.lstrip('"').startswith("'")
    assert csv_text([{"loss": -0.5}]) == "loss\r\n-0.5\r\n"
