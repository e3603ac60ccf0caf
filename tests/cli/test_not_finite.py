"""A stored number that JSON cannot hold ends each command that would write it, in the same line."""

import io
from pathlib import Path
from typing import Any

import pytest

from tests.cli.refused import Refused
from tests.cli.stored import BASELINE, NAME, searched
from tuner.cli.events import JsonLines
from tuner.errors import UsageError
from tuner.params.write import text_of, write

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    "command", [["export"], ["export", "--format", "diffusers"], ["show", "--json"]]
)
def test_an_infinite_figure_is_refused_by_its_place_and_replaces_no_file(
    command: list[str], number: float, folder: Path, refused: Refused
) -> None:
    searched(folder).study.set_user_attr("baseline", BASELINE | {"latency_s": number})
    Path("search_params.json").write_text("as before")
    Path("generate.py").write_text("as before")
    line = refused(*command)
    assert f"cannot write studies.{NAME}.baseline.latency_s as JSON: it is {number}" in line


def test_an_event_with_an_infinite_figure_is_an_error_that_names_it() -> None:
    stream = io.StringIO()
    with pytest.raises(UsageError, match=r"cannot write figures\[0\]\.speedup as JSON: it is inf"):
        JsonLines(stream).write({"event": "odd", "figures": [{"speedup": float("inf")}]})
    assert stream.getvalue() == ""


@pytest.mark.parametrize("value", ["half a pair: \ud83d", 2**63, [[[]] * 2] * 2])
def test_what_the_reader_of_a_file_refuses_is_not_written(value: Any, folder: Path) -> None:
    if isinstance(value, list):
        for _ in range(32):
            value = [value]
    with pytest.raises(UsageError, match="nothing is written, because it could not be read again"):
        write(folder / "search_params.json", {"value": value})
    assert list(folder.iterdir()) == []
    assert text_of({"value": 2**63 - 1})
