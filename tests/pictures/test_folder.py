"""The folder for a study's pictures lies inside the root, whatever the study's name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.pictures.folder import folder_name

ODD = [
    "",
    ".",
    "..",
    "../up",
    "/etc",
    "a\0b",
    "a\nb",
    ".hidden",
    "CON",
    "nul.txt",
    "com1",
    "a.",
    "é" * 300,
]


@given(st.text(max_size=400))
def test_every_name_becomes_one_valid_folder_name(study: str) -> None:
    name = folder_name(study)
    assert Path(name).name == name
    assert 0 < len(name.encode()) <= 255
    assert name.isprintable() and name[0] != "." and not set(name) & set('/\\<>:"|?* ')


@pytest.mark.parametrize("study", ODD)
def test_folders_for_odd_names_lie_inside_the_root(study: str, tmp_path: Path) -> None:
    folder = tmp_path / folder_name(study)
    folder.mkdir()
    assert folder.parent == tmp_path and folder.resolve().parent == tmp_path.resolve()


def test_names_that_differ_in_replaced_characters_only_have_different_folders() -> None:
    names = [*ODD, "a" * 255 + "b", "a" * 255 + "c", "a:b", "a?b", "a|b"]
    assert len({folder_name(name) for name in names}) == len(names)


def test_folder_names_stay_readable() -> None:
    assert folder_name("SD1.5/DDIM/50 batch=8,seed=7") == "SD1.5_DDIM_50_batch=8,seed=7"
