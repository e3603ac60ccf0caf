"""A run keeps small copies of the pictures that it scores, and draws contact sheets from them."""

from pathlib import Path

import numpy as np
import pytest

from tests.runs.study import TRIPLE, spec
from tuner.dashboard.pictures import baseline_picture, entries_of, trials_with_pictures
from tuner.metrics.clip import ClipScore
from tuner.session import Session
from tuner.storage.artifacts import artifact_store_of
from tuner.storage.database import Storage
from tuner.storage.notes import read_note
from tuner.study.sheets import sheets_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose trials draw their prompts from a pool of twice as many."""
    folder = tmp_path_factory.mktemp("pictures")
    Session(folder / "pictures").run(spec(folder, sampler="frontier", max_samples=8))
    return folder


def database(folder: Path) -> Storage:
    return Storage(f"sqlite:///{folder / 'tuner.db'}", create=False)


def test_every_prompt_that_a_trial_drew_has_both_pictures_and_both_scores(run: Path) -> None:
    storage = database(run)
    study = storage.study(TRIPLE)
    store = artifact_store_of(study)
    assert store is not None
    numbers = set()
    for trial in trials_with_pictures(study):
        entries = entries_of(study, store, trial)
        stored = study.trials[trial].user_attrs
        assert [f"{entry.score:.4f}" for entry in entries] == stored["scores"].split()
        numbers |= {entry.number for entry in entries}
        for entry in entries:
            assert baseline_picture(storage, entry).size == (32, 32)
        loss = sum(entry.loss for entry in entries) / sum(e.baseline_score for e in entries)
        assert loss == pytest.approx(stored["score_loss"])
    assert max(numbers) >= 4  # of the pool, beyond the study's first prompts


def test_the_kept_pictures_are_those_that_were_scored(run: Path) -> None:
    """Small pictures are kept without loss, so that scoring them gives the score again."""
    study = database(run).study(TRIPLE)
    store = artifact_store_of(study)
    assert store is not None
    session = Session()
    evaluation = session.evaluation(spec(run))
    assert isinstance(evaluation.metric, ClipScore)
    entries = [entry for entry in entries_of(study, store, 0) if entry.number < 4][:2]
    from tuner.pictures.thumbnails import decoded

    scores = [evaluation.metric.score([decoded(e.webp)], [e.prompt])[0] for e in entries]
    assert np.allclose(scores, [entry.score for entry in entries], atol=1e-3)


def test_the_run_leaves_sheets_notes_and_a_comparison_of_the_front(run: Path) -> None:
    study = database(run).study(TRIPLE)
    sheets = sheets_of(study)
    assert len(sheets.baseline) == 1 and sheets.trials
    assert "**Goal:**" in read_note(study, None)
    (folder,) = (run / "pictures").iterdir()
    assert (folder / "front.png").is_file()


def test_a_further_run_draws_sheets_from_pictures_of_the_run_before(
    run: Path, calls: list[range]
) -> None:
    before = sheets_of(database(run).study(TRIPLE))
    Session(run / "pictures").run(spec(run, sampler="frontier", max_samples=8))
    assert not calls  # nothing was left to measure
    after = sheets_of(database(run).study(TRIPLE))
    assert after.trials.keys() >= before.trials.keys()
    assert after.baseline
