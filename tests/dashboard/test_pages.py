"""While a study runs, its notes and contact sheets are kept current."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.pictured import PicturedBench, picture
from tests.helpers.simulated import measurement, over_the_limit
from tuner.dashboard.pages import StudyPages
from tuner.dashboard.pictures import baseline_picture, entries_of
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.storage.artifacts import artifact_store_of
from tuner.storage.database import Storage
from tuner.storage.notes import read_note, write_note
from tuner.study.best import pareto_front
from tuner.study.recording import store_reference
from tuner.study.results import read_results
from tuner.study.schema import VERIFIED
from tuner.study.sheets import sheets_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> PicturedBench:
    """A study of five trials that has run; no test changes it."""
    bench = PicturedBench(tmp_path_factory.mktemp("finished"))
    bench.run()
    return bench


@pytest.fixture
def bench(tmp_path: Path) -> PicturedBench:
    """A study of two trials that has run."""
    bench = PicturedBench(tmp_path, trials=2)
    bench.run()
    return bench


def front_trials(bench: PicturedBench) -> set[int]:
    goal = Goal.of(bench.spec)
    return {result.trial for result in pareto_front(read_results(bench.study), goal.limits)}


def test_the_baseline_and_every_trial_of_the_front_have_a_sheet(finished: PicturedBench) -> None:
    again = Storage(finished.storage.url).study(finished.study.study_name)
    sheets = sheets_of(again)
    assert len(sheets.baseline) == 1 and sheets.baseline[0].startswith(b"\x89PNG")
    assert front_trials(finished) <= set(sheets.trials)
    assert all(len(pngs) == 1 for pngs in sheets.trials.values())
    assert (finished.folder / "front.png").read_bytes().startswith(b"\x89PNG")


def test_a_trials_pictures_and_the_baselines_are_found_by_prompt(finished: PicturedBench) -> None:
    store = artifact_store_of(finished.study)
    assert store is not None
    first, second = entries_of(finished.study, store, 0)
    assert (first.prompt, first.score, first.baseline_score) == ("a red circle", 30.0, 30.0)
    assert second.loss > 0
    assert baseline_picture(finished.storage, second).tobytes() == picture(1001).tobytes()


def test_a_trial_that_copied_anothers_figures_shows_its_pictures(bench: PicturedBench) -> None:
    trial = bench.study.ask()
    trial.set_user_attr("same_as", 0)
    bench.study.tell(trial, [1.0, 0.0])
    store = artifact_store_of(bench.study)
    assert store is not None
    assert entries_of(bench.study, store, trial.number) == entries_of(bench.study, store, 0)


def test_a_further_run_finds_the_pictures_of_the_run_before(tmp_path: Path) -> None:
    PicturedBench(tmp_path, trials=2).run()
    second = PicturedBench(tmp_path, trials=3)
    second.pages.begin([30.0, 32.0])  # its baseline is not drawn again
    second.search(observer=second.pages)
    second.pages.end()
    assert len(sheets_of(second.study).baseline) == 1
    assert front_trials(second) <= set(sheets_of(second.study).trials)


def test_each_trials_note_says_what_it_is_and_how_it_is_applied(finished: PicturedBench) -> None:
    for result in read_results(finished.study):
        note = read_note(finished.study, result.trial)
        assert str(result.setting) in note
        assert f"Speedup {result.speedup.value:.2f}×" in note
        assert f"core loss {result.score_loss.value:.2%}" in note
        assert "undo = tuner.apply(pipe, {" in note
        assert ("On the Pareto front" in note) == (result.trial in front_trials(finished))


def test_the_studys_note_names_the_goal_the_best_setting_and_how_to_apply_it(
    finished: PicturedBench,
) -> None:
    best = Goal.of(finished.spec).reached(read_results(finished.study))
    assert best is not None
    note = read_note(finished.study, None)
    assert "score loss under 2%" in note
    assert f"{best.setting} (trial {best.trial}): speedup" in note
    assert "Not verified" in note
    assert "5 trials: 5 complete" in note
    assert 'tuner.apply(pipe, "search_params.json")' in note


def test_a_verification_that_fails_changes_the_notes(bench: PicturedBench) -> None:
    best = Goal.of(bench.spec).reached(read_results(bench.study))
    assert best is not None
    stored = bench.study.trials[best.trial].user_attrs
    bench.study.set_user_attr(VERIFIED, {str(best.trial): [over_the_limit(stored)]})
    bench.pages.verified(best)
    assert "It does not hold" in read_note(bench.study, best.trial)
    assert f"trial {best.trial}, {best.setting}" not in read_note(bench.study, None)


def test_the_studys_note_compares_the_best_setting_with_fewer_steps(bench: PicturedBench) -> None:
    slower = replace(measurement(Setting()), speedup=Estimate(value=9.0, low=9.0, high=9.0))
    store_reference(bench.study, 10, slower)
    bench.pages.update()
    note = read_note(bench.study, None)
    assert "**And with fewer steps?** At the same speed" in note
    assert "steps without an accelerator" in note


def test_what_a_user_writes_below_the_line_of_a_note_is_kept(bench: PicturedBench) -> None:
    for trial in (None, 0):
        before = read_note(bench.study, trial)
        write_note(bench.study, trial, "new text")
        ours = read_note(bench.study, trial)
        assert ours.startswith("new text\n\n---\n") and before != ours
    from optuna_dashboard import save_note

    save_note(bench.study, read_note(bench.study, None) + "\n\nmy favourite")
    write_note(bench.study, None, "newer text")
    assert read_note(bench.study, None).startswith("newer text")
    assert read_note(bench.study, None).endswith("my favourite")


def test_trials_that_fail_have_notes_that_say_why(tmp_path: Path) -> None:
    bench = PicturedBench(tmp_path, trials=2)
    bench.fails = lambda setting: ValueError("no luck")
    bench.run()
    assert "**Failed**: no luck." in read_note(bench.study, 0)


def test_without_pictures_there_are_notes_and_no_sheets(tmp_path: Path) -> None:
    bench = PicturedBench(tmp_path, trials=2)
    bench.pages = StudyPages(
        bench.study,
        Goal.of(bench.spec),
        bench.storage,
        pictures=None,
        folder=None,
        every_trial=True,
        warn=bench.notices.append,
    )
    bench.run()
    assert sheets_of(bench.study).trials == {}
    assert read_note(bench.study, 0)


@pytest.mark.parametrize(
    "write", ["tuner.dashboard.pictures.put_hidden", "tuner.dashboard.pages.put_sheet"]
)
def test_a_full_disk_costs_the_pictures_and_not_the_search(
    write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = PicturedBench(tmp_path, trials=2)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, full)
    bench.run()
    assert len(read_results(bench.study)) == 2
    assert bench.notices == ["no more pictures are kept: [Errno 28] No space left on device"]


def test_slow_updates_wait_so_that_they_take_a_small_share_of_a_run(
    bench: PicturedBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates: list[int] = []
    monkeypatch.setattr(bench.pages, "update", lambda: updates.append(1))
    bench.pages._next_update = float("inf")
    bench.pages.trial_stored(bench.study.trials[0])
    assert not updates
    bench.pages._next_update = 0.0
    bench.pages.trial_stored(bench.study.trials[0])
    assert updates == [1]


def test_after_ctrl_c_the_notes_are_up_to_date(bench: PicturedBench) -> None:
    write_note(bench.study, None, "stale")
    bench.pages._notes.clear()
    with pytest.raises(KeyboardInterrupt), bench.pages.during_search():
        raise KeyboardInterrupt
    assert "**Goal:**" in read_note(bench.study, None)
