"""Contact sheets are artifacts of the study and of its trials, and any process finds them."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from sqlalchemy import text

from tuner.storage.artifacts import create_artifact_store
from tuner.storage.database import Storage
from tuner.storage.optuna_names import ARTIFACTS
from tuner.storage.patient_storage import REMOVED
from tuner.study.sheets import Sheets, artifact_store_of, put_sheet, sheets_of

NAME = "SD1.5/DDIM/50"


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """A study with two finished trials."""
    study = opened(tmp_path)
    for _ in range(2):
        study.tell(study.ask(), [1.0, 0.0])
    return study


def opened(folder: Path) -> optuna.Study:
    return Storage(f"sqlite:///{folder / 'tuner.db'}").open_study(NAME, {"seed": 42})


def artifacts(folder: Path) -> list[Path]:
    """The files in the folder of artifacts, without the one that marks the folder."""
    files = (folder / "artifacts").iterdir()
    return [file for file in files if not file.name.startswith(".")]


def test_a_study_without_artifacts_has_no_store_and_no_sheets(study: optuna.Study) -> None:
    assert artifact_store_of(study) is None
    assert sheets_of(study) == Sheets()


def test_another_process_finds_the_sheets_of_the_study_and_of_finished_trials(
    study: optuna.Study, tmp_path: Path
) -> None:
    store = create_artifact_store(study, tmp_path / "pictures" / "artifacts")
    put_sheet(study, store, None, b"baseline")
    put_sheet(study, store, 1, b"second")
    assert sheets_of(opened(tmp_path)) == Sheets(baseline=[b"baseline"], trials={1: [b"second"]})


def test_a_new_sheet_replaces_the_earlier_one_and_its_file(
    study: optuna.Study, tmp_path: Path
) -> None:
    store = create_artifact_store(study, tmp_path / "artifacts")
    for content in (b"first", b"second"):
        put_sheet(study, store, None, content)
        put_sheet(study, store, 0, content)
    assert sheets_of(study) == Sheets(baseline=[b"second"], trials={0: [b"second"]})
    assert len(artifacts(tmp_path)) == 2


def test_optuna_reads_the_sheets_as_artifacts_also_after_some_were_removed(
    study: optuna.Study, tmp_path: Path
) -> None:
    put_sheet(study, create_artifact_store(study, tmp_path / "artifacts"), 0, b"png")
    again: Any = opened(tmp_path)
    (meta,) = get_all_artifact_meta(again.trials[0], storage=again._storage)
    assert (meta.filename, meta.mimetype) == ("contact-sheet-trial-0000.png", "image/png")
    # What the dashboard does when a user removes an artifact.
    again._storage.set_trial_system_attr(
        again.trials[0]._trial_id, ARTIFACTS + meta.artifact_id, REMOVED
    )
    assert sheets_of(again) == Sheets()
    last: Any = opened(tmp_path)
    assert get_all_artifact_meta(last.trials[0], storage=last._storage) == []


def test_the_sheets_are_found_after_the_database_and_the_pictures_were_moved(
    study: optuna.Study, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    first = opened(old)
    put_sheet(first, create_artifact_store(first, old / "pictures" / "artifacts"), None, b"png")
    with Storage(f"sqlite:///{old / 'tuner.db'}").engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    old.rename(tmp_path / "new")
    assert sheets_of(opened(tmp_path / "new")).baseline == [b"png"]


def test_a_sheet_whose_file_was_deleted_is_left_out(study: optuna.Study, tmp_path: Path) -> None:
    put_sheet(study, create_artifact_store(study, tmp_path / "artifacts"), 0, b"png")
    artifacts(tmp_path)[0].unlink()
    assert sheets_of(study) == Sheets()
