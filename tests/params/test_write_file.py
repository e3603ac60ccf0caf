"""`search_params.json` is written atomically: a failed write leaves the old file."""

import json
import resource
from pathlib import Path

import pytest

from tuner.errors import UsageError
from tuner.params import write as export


def test_writing_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "search_params.json"
    for number in range(2):
        export.write(path, {"schema": 1, "number": number})
        assert json.loads(path.read_text()) == {"schema": 1, "number": number}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "search_params.json"
    export.write(path, {"schema": 1})
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UsageError, match="cannot write"):
            export.write(path, {"schema": 1, "studies": "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "search_params.json"
    export.write(path, {"schema": 1})
    old = path.read_bytes()
    with pytest.raises(TypeError):
        export.write(path, {"schema": 1, "studies": object()})
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search_params.json"
    path.mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        export.write(path, {"schema": 1})
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UsageError, match="cannot write"):
        export.write(tmp_path / "no folder" / "x.json", {"schema": 1})
