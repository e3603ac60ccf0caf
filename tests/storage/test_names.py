"""The names of studies: read quickly from a file, and suggested for unknown ones."""

from pathlib import Path

import pytest

from tuner.storage.database import Storage
from tuner.storage.names import names_hint, study_names_in


def test_the_names_are_those_of_the_database(tmp_path: Path) -> None:
    file = tmp_path / "tuner #1.db"
    storage = Storage(str(file))
    for name in ("SD1.5/DDIM/50", "SDXL/UniPC/25"):
        storage.open_study(name, {"batch": 4})
    assert study_names_in(str(file)) == ["SD1.5/DDIM/50", "SDXL/UniPC/25"]
    assert study_names_in(f"sqlite:///{file}") == storage.study_names()


@pytest.mark.parametrize("content", [None, b"", b"dear diary"])
def test_a_file_that_is_no_database_has_no_names(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "tuner.db"
    if content is not None:
        file.write_bytes(content)
    assert study_names_in(str(file)) == []


def test_a_database_on_a_server_is_not_asked() -> None:
    assert study_names_in("postgresql://nobody@nowhere/tuner") == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SD1.5/DDIM/20", "did you mean SD1.5/DDIM/50 or SD1.5/DDIM/50 guidance=5?"),
        ("sd1.5", "did you mean SD1.5/DDIM/50 or SD1.5/DDIM/50 guidance=5?"),
        ("Guidance", "did you mean SD1.5/DDIM/50 guidance=5?"),
        ("wholly different", "it has: SD1.5/DDIM/50, SD1.5/DDIM/50 guidance=5"),
    ],
)
def test_names_that_are_near_are_suggested(name: str, hint: str) -> None:
    assert names_hint(name, ["SD1.5/DDIM/50", "SD1.5/DDIM/50 guidance=5"]) == hint


def test_of_many_studies_the_first_are_listed_where_none_is_near() -> None:
    known = [f"SD1.5/DDIM/{steps}" for steps in range(10, 40)]
    assert names_hint("Flux", known).endswith(
        "SD1.5/DDIM/13, SD1.5/DDIM/14 and 25 more; `tuner show` lists them"
    )
    assert names_hint("Flux", []) == "it has: none"
