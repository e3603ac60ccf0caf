"""`tuner compare`: chosen trials and prompts side by side, from what a run has stored."""

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.refused import Refused
from tests.helpers.pictured import PicturedBench
from tests.helpers.simulated import Bench
from tuner.cli.main import main
from tuner.pictures.contact_sheet import CELL

NAME = "miniature/DDIM/50"


def height(file: str) -> int:
    with Image.open(file) as picture:
        return picture.height


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two trials; no test changes it."""
    place = tmp_path_factory.mktemp("study")
    PicturedBench(place, trials=2).run()
    return place


def test_each_chosen_trial_is_a_row_below_the_baseline(study: Path, folder: Path) -> None:
    command = ["compare", NAME, "--storage", str(study / "tuner.db"), "--trials"]
    assert main([*command, "0"]) == 0
    assert main([*command, "0,1", "--prompts", "1", "-o", "two.png"]) == 0
    assert height("two.png") - height("comparison.png") >= CELL


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("other --trials 0", "no study 'other' in "),
        (f"{NAME} --trials 7", "no pictures of trial 7; the trials with pictures are 0, 1"),
        (f"{NAME} --trials 0 --prompts 1,9", "none of these trials drew prompt 9; they drew 0, 1"),
        (f"{NAME} --trials 0 -o no/such/folder.png", "cannot write no/such/folder.png"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    arguments: str, words: str, study: Path, folder: Path, refused: Refused
) -> None:
    storage = str(study / "tuner.db")
    assert words in refused("compare", "--storage", storage, *arguments.split())


def test_a_study_without_pictures_is_refused(folder: Path, refused: Refused) -> None:
    Bench(folder, trials=1, search_targets=("deepcache",)).search()
    line = refused("compare", NAME, "--trials", "0")
    assert f"{NAME} has no pictures here: it ran with --pictures none" in line
