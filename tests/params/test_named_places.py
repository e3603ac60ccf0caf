"""What a file of settings may name: files in its folder, unless the user names others."""

from pathlib import Path
from typing import Any

import pytest

from tuner.errors import UsageError
from tuner.params.named_places import check_places


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in a folder, beside a folder with other prompts; neither is the current folder."""
    for name in ("received", "home", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "prompts.csv").write_text("caption\na cat\n")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "received" / "search_params.json"


def test_prompts_and_weights_in_the_folder_or_the_current_one_are_read(file: Path) -> None:
    for place in ("coco", "prompts.csv", str(file.parent / "prompts.csv"), "ID:train:caption"):
        check_places(file, {"prompts": place}, {})
    check_places(file, {"prompts": f"{file.parent / 'prompts.csv'}:caption"}, {})
    check_places(file, {"model": str(file.parent)}, {})
    check_places(file, {}, {})


@pytest.mark.parametrize("end", ["", ":caption"])
def test_a_file_elsewhere_is_read_only_if_the_user_names_it(file: Path, end: str) -> None:
    places: list[dict[str, Any]] = [
        {"prompts": f"{file.parent.parent / 'home' / 'prompts.csv'}{end}"},
        {"prompts": f"../home/prompts.csv{end}"},
        {"model": str(file.parent.parent / "home")},
    ]
    for study in places:
        with pytest.raises(
            UsageError,
            match="which is neither in that file's folder nor in the current one; "
            "to use it all the same, set",
        ):
            check_places(file, study, {})
        check_places(file, study, study)


@pytest.mark.parametrize("name", ["pipeline", "call"])
def test_code_is_run_only_if_the_user_names_it(file: Path, name: str) -> None:
    study = {"own": {name: "production.py:make"}}
    with pytest.raises(UsageError, match="names the code production"):
        check_places(file, study, {})
    check_places(file, study, {name: "production.py:make"})
    check_places(file, {"own": {"call": {"steps": 3}}}, {})


def test_a_link_out_of_the_folder_is_outside(file: Path) -> None:
    link = file.parent / "link.csv"
    link.symlink_to(file.parent.parent / "home" / "prompts.csv")
    with pytest.raises(UsageError, match="neither in that file's folder"):
        check_places(file, {"prompts": str(link)}, {})
