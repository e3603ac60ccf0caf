"""Whether files and folders can be written is found out without writing."""

import os
from pathlib import Path

import pytest

from tuner import places
from tuner.errors import UsageError


def test_a_folder_that_can_be_made_and_a_file_in_one_that_exists_are_accepted(
    tmp_path: Path,
) -> None:
    places.check_folder(tmp_path / "a" / "b", "hint")
    places.check_file(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written to; hint"):
        places.check_folder(tmp_path / "a", "hint")
    with pytest.raises(UsageError, match="cannot be written to; choose another file"):
        places.check_file(tmp_path / "a.csv")


@pytest.mark.parametrize("file", ["taken", "taken/a/b"])
def test_a_folder_in_the_place_of_a_file_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError, match="taken is a file; hint"):
        places.check_folder(tmp_path / file, "hint")
