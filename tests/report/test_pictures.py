"""Contact sheets on the page: the best setting's first, and small enough together."""

import base64
import io
import os
from pathlib import Path

import optuna
import pytest
from PIL import Image

from tests.report.studies import goal_of
from tuner.report.content import read_content
from tuner.report.pictures import pictures_of
from tuner.storage.artifacts import create_artifact_store
from tuner.study.best import pareto_front
from tuner.study.results import read_results
from tuner.study.sheets import put_sheet

BUDGET = 100_000  # bytes


@pytest.fixture(scope="module")
def noise() -> bytes:
    """A picture that can hardly be compressed."""
    file = io.BytesIO()
    Image.frombytes("RGB", (600, 600), os.urandom(3 * 600 * 600)).save(
        file, "PNG", compress_level=0
    )
    return file.getvalue()


def test_the_best_settings_sheet_comes_first_and_all_keep_to_the_budget(
    study: optuna.Study, tmp_path: Path, noise: bytes
) -> None:
    store = create_artifact_store(study, tmp_path / "artifacts")
    best = goal_of(study).reached(read_results(study))
    assert best is not None
    front = pareto_front(read_results(study), goal_of(study).limits)
    shown = {best.trial, front[0].trial, front[-1].trial}
    for trial in shown:
        put_sheet(study, store, trial, noise)
    (pictures,) = pictures_of([read_content(study)], BUDGET)
    assert len(noise) * len(shown) > BUDGET, "the sheets themselves must be too large"
    assert {picture.result.trial for picture in pictures if picture.result} == shown
    assert len(shown) > 1
    assert pictures[0].result == best
    assert sum(len(picture.url) for picture in pictures) <= BUDGET
    shown = Image.open(io.BytesIO(base64.b64decode(pictures[0].url.partition(",")[2])))
    assert shown.size == (pictures[0].width, pictures[0].height)


def test_of_several_studies_each_has_its_best_settings_sheet_only(
    study: optuna.Study, tmp_path: Path, noise: bytes
) -> None:
    store = create_artifact_store(study, tmp_path / "artifacts")
    content = read_content(study)
    for result in content.front[-2:]:
        put_sheet(study, store, result.trial, noise)
    assert content.best is not None
    put_sheet(study, store, content.best.trial, noise)
    content = read_content(study)
    pictures = pictures_of([content, content])
    assert [[picture.result for picture in of_study] for of_study in pictures] == [
        [content.best]
    ] * 2


def test_the_baselines_sheet_is_shown_where_no_setting_has_one(
    study: optuna.Study, tmp_path: Path, noise: bytes
) -> None:
    put_sheet(study, create_artifact_store(study, tmp_path / "artifacts"), None, noise)
    ((picture,),) = pictures_of([read_content(study)])
    assert picture.result is None
