"""The pictures' folder of a study: one inside the root, whatever the study is called."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.picture_strips import PictureFolder, folder_name

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
def test_every_name_is_one_folder_that_file_systems_take(study: str) -> None:
    found = folder_name(study)
    assert Path(found).name == found
    assert 0 < len(found.encode()) <= 255
    assert found.isprintable() and found[0] != "." and not set(found) & set('/\\<>:"|?* ')


@pytest.mark.parametrize("study", ODD)
def test_odd_names_are_made_inside_the_pictures_folder(study: str, tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path, study).folder
    assert folder is not None
    folder.mkdir()
    assert folder.parent == tmp_path and folder.resolve().parent == tmp_path.resolve()


def test_names_that_are_alike_after_a_change_have_folders_of_their_own() -> None:
    names = [*ODD, "a" * 255 + "b", "a" * 255 + "c", "a:b", "a?b", "a|b"]
    assert len({folder_name(name) for name in names}) == len(names)


def test_the_names_of_studies_are_still_read_in_their_folders() -> None:
    assert folder_name("SD1.5/DDIM/50 batch=8,seed=7") == "SD1.5_DDIM_50_batch=8,seed=7"
