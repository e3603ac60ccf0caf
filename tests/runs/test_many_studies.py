"""Several studies of one run: shared out, passed over when complete, one file and one report."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.event_schema import events_of, names
from tests.runs.study import FLAGS
from tuner.cli.main import main
from tuner.measure.evaluation import Evaluation
from tuner.session import Session

DDIM, UNIPC = "miniature/DDIM/4", "miniature/UniPC/4"
SWEEP = [*FLAGS, "--sched", "UniPC,DDIM", "--trials", "1", "--pictures", "none"]


@pytest.fixture
def swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What a sweep of two studies printed in the working folder."""
    monkeypatch.chdir(tmp_path)
    assert main(SWEEP) == 0
    return capsys.readouterr().out


def refuse(*args: Any, **options: Any) -> None:
    raise AssertionError("a model is loaded, or something is measured")


def test_a_sweep_ends_with_one_file_and_one_report_and_its_second_start_measures_nothing(
    swept: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"{UNIPC}: study 1 of 2; goal: " in swept
    assert f"{DDIM}: study 2 of 2; goal: " in swept
    ending = ["2 of 2 studies complete", "wrote search_params.json and report.html (2 studies)"]
    assert swept.splitlines()[-2:] == ending
    assert json.loads(Path("search_params.json").read_text())["studies"].keys() == {DDIM, UNIPC}
    assert DDIM in Path("report.html").read_text()
    Path("search_params.json").unlink()
    monkeypatch.setattr(Session, "run", refuse)
    monkeypatch.setattr("tuner.cli.sweep.EndFiles.write", lambda files, studies: "written")
    assert main(SWEEP) == 0
    second = capsys.readouterr().out.splitlines()
    assert second[1:] == [
        f"{UNIPC}: complete (1 trial)",
        f"{DDIM}: complete (1 trial)",
        "2 of 2 studies complete",
        "written",
    ]


def test_a_dry_run_counts_and_estimates_without_loading_or_writing_anything(
    swept: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "__init__", refuse)
    monkeypatch.setattr(Evaluation, "measure", refuse)
    before = sorted(Path().iterdir())
    assert main([*SWEEP, "--dry-run", "--steps", "4,8", "--trials", "3"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "4 studies: 0 complete, 2 begun, 2 not begun; at most 10 trials left"
    assert printed[1].startswith("device time: at most ")
    assert printed[1].endswith(" s, judging by what studies in sqlite:///tuner.db took")
    assert main([*SWEEP, "--dry-run"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "2 studies: 2 complete, 0 begun, 0 not begun"
    assert sorted(Path().iterdir()) == before


def test_a_dry_run_names_what_would_make_the_device_time_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, "--dry-run", "--trials", "50", "--steps", "8,4"]) == 0
    printed = capsys.readouterr().out
    assert "4 studies: 0 complete, 0 begun, 4 not begun; at most 200 trials left" in printed
    assert "--pipe miniature --sched 'UniPC' --steps 4 --trials 3" in printed
    assert list(tmp_path.iterdir()) == []


def test_events_tell_how_far_the_sweep_is_and_which_files_were_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, "--json", "--report", "none"]) == 0
    events = events_of(capsys.readouterr().out)
    progress = [event for event in events if event["event"] == "studies_progress"]
    assert [(event["study"], event["number"]) for event in progress] == [(UNIPC, 1), (DDIM, 2)]
    assert [event["complete"] for event in progress] == [0, 1]
    assert progress[0]["others_s"] is None and progress[1]["others_s"] == 0
    last = events[-1]
    assert (last["event"], last["front"], last["report"]) == (
        *("studies_finished", "search_params.json"),
        None,
    )
    assert main([*SWEEP, "--json", "--report", "none", "--export", "none"]) == 0
    events = events_of(capsys.readouterr().out)
    assert names(events) == ["study_complete", "study_complete", "studies_finished"]
    assert main([*SWEEP, "--json", "--dry-run"]) == 0
    (event,) = events_of(capsys.readouterr().out)
    assert (event["studies"], event["complete"], event["trials"], event["unknown"]) == (2, 2, 0, [])


def test_a_file_that_could_not_be_written_at_the_end_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Session, "run", refuse)
    assert main([*SWEEP, "--report", "nowhere/report.html"]) == 2
    assert "there is no folder nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_steps_that_were_timed_in_one_study_are_not_timed_again_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    timed: list[str] = []
    time_steps = Evaluation.timed_steps

    def counted(self: Evaluation, setting: Any) -> Any:
        timed.append(str(setting))
        return time_steps(self, setting)

    monkeypatch.setattr(Evaluation, "timed_steps", counted)
    flags = [*FLAGS, "--pictures", "none", "--sampler", "frontier", "--trials", "1"]
    assert main(flags) == 0
    first = len(timed)
    assert first > 0
    assert main([*flags, "--sched", "UniPC", "--steps", "6"]) == 0
    assert len(timed) < 2 * first
    again = len(timed)
    assert main([*flags, "--trials", "2"]) == 0
    assert len(timed) == again


def test_a_request_for_fewer_accelerators_begins_from_the_trials_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = [*FLAGS, "--pictures", "none", "--sampler", "frontier"]
    flags += ["--aim", "combinations", "--trials", "3"]
    assert main(flags) == 0
    begun: list[str] = []
    measure = Evaluation.measure

    def measured(self: Evaluation, setting: Any, *args: Any, **options: Any) -> Any:
        begun.append(str(setting))
        return measure(self, setting, *args, **options)

    monkeypatch.setattr(Evaluation, "measure", measured)
    assert main([*flags, "--search-targets", "deepcache", "--export", "one.json"]) == 0
    entry = json.loads(Path("one.json").read_text())["studies"][DDIM]
    assert list(entry["by_combination"]) == ["deepcache"]
    assert len(begun) <= 1  # its best setting is verified; the trials are those of the first run
