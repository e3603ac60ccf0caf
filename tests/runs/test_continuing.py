"""`tuner run` on the bundled miniature: it ends with a front, and continues where it stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runs.study import FLAGS, TRIPLE, Count, baselines, finished, spec
from tuner.cli.main import main
from tuner.measure.cache_keys import key_of
from tuner.session import Session
from tuner.storage.database import Storage


def test_a_run_ends_with_a_front_pictures_and_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FLAGS, "--trials", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert f"{TRIPLE}: Pareto front" in captured.out
    assert len(finished(tmp_path)) == 3
    kinds = [kind for kind, _, _ in baselines(tmp_path)]
    assert set(kinds) == {"latency", "scores", "thumbnail"}
    assert kinds.count("latency") == 1
    assert kinds.count("scores") == 2 + 2  # for searching and for verifying, and two batches of it
    assert {file.name for file in tmp_path.iterdir()} - {"tuner.db-wal", "tuner.db-shm"} == {
        "tuner.db",
        "pictures",
    }
    pictures = {file.name for file in (tmp_path / "pictures" / "miniature_DDIM_4").iterdir()}
    assert pictures == {"artifacts", "front.png"}
    assert main(["show"]) == 0
    assert f"{TRIPLE}: Pareto front" in capsys.readouterr().out
    assert main(["export"]) == 0
    assert (tmp_path / "search_params.json").is_file()


def test_the_same_command_again_measures_nothing_more(
    folder: Path, calls: list[range], capsys: pytest.CaptureFixture[str]
) -> None:
    before = [(trial.number, trial.values, trial.user_attrs) for trial in finished(folder)]
    assert len(before) == 3
    stored = baselines(folder)
    assert main([*FLAGS, "--trials", "3", "--pictures", "none"]) == 0
    assert calls == []
    assert [(trial.number, trial.values, trial.user_attrs) for trial in finished(folder)] == before
    assert baselines(folder) == stored
    assert not Path("pictures").exists()
    assert "Pareto front" in capsys.readouterr().out


def test_more_trials_continue_without_the_baseline(folder: Path, session: Session) -> None:
    before, stored = finished(folder), baselines(folder)
    observer = Count()
    session.run(spec(folder, trials=5), observer)
    assert observer.began == 2
    after = finished(folder)
    assert len(after) == 5
    assert [trial.number for trial in after[:3]] == [trial.number for trial in before]
    assert baselines(folder) == stored


def test_a_changed_baseline_is_reported_with_what_changed(
    folder: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices, stored = [], baselines(folder)
    for threads in (1, 2, 2, 1):
        observer = Count()
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        session.run(spec(folder), observer)
        notices.append(observer.lines)
        about = Storage(f"sqlite:///{folder / 'tuner.db'}").study(TRIPLE).user_attrs
        # Results that were verified on another machine were verified again on this one.
        assert about["baseline"]["latency_key"] in {
            verification["latency_key"]
            for verifications in about["verified"].values()
            for verification in verifications
        }
    measured_again = (
        "the machine or its package versions have changed: stored results that may be the best "
        "are re-measured here, fastest first"
    )
    assert notices == [
        [],
        ["baseline re-measured: threads 1 -> 2", measured_again],
        [],
        ["baseline taken from the database: threads 2 -> 1"],
    ]
    assert [kind for kind, key, time in baselines(folder) if (kind, key, time) not in stored] == [
        "latency"
    ]


def test_a_new_study_starts_warm_from_a_source_study_and_reports_it(
    tmp_path: Path, session: Session, calls: list[range]
) -> None:
    def run(sched: str, trials: int, **changes: Any) -> list[str]:
        observer = Count()
        values = {"sampler": "frontier", "search_targets": ("deepcache",), "trials": trials}
        session.run(spec(tmp_path, sched=sched, **values | changes), observer)
        return observer.lines

    assert run("DDIM", 5) == []
    storage = Storage(f"sqlite:///{tmp_path / 'tuner.db'}")
    evaluation = session.evaluation(spec(tmp_path))
    timed = storage.get("timed steps", key_of(evaluation.latency_parts))
    assert timed is not None and len(timed) > 1
    assert {len(setting["steps"]) for setting in timed.values()} == {4}
    baseline = timed["baseline"]  # with whose steps those of the others were interleaved
    assert sum(baseline["steps"]) + baseline["rest"] == pytest.approx(1)
    assert run("UniPC", 1, sampler="random") == []
    assert run("UniPC", 2, transfer=False) == []
    disables = "transfer = false (--no-transfer) disables it"
    assert run("UniPC", 3) == [f"warm start from miniature/DDIM/4 (5 settings); {disables}"]
    both = "miniature/DDIM/4 and miniature/UniPC/4 (8 settings)"
    assert run("DPM-Solver++", 1) == [f"warm start from {both}; {disables}"]
    fastest = max(finished(tmp_path), key=lambda trial: trial.values[0])
    (first,) = finished(tmp_path, "miniature/DPM-Solver++/4")
    assert first.user_attrs["setting"] == fastest.user_attrs["setting"]
    calls.clear()
    assert run("DPM-Solver++", 1) == []  # there is nothing to search
    assert calls == []


def test_another_batch_size_makes_a_study_with_a_readable_suffix(
    folder: Path, session: Session, calls: list[range]
) -> None:
    stored = baselines(folder)
    session.run(spec(folder, batch_size=4, trials=1))
    names = Storage(f"sqlite:///{folder / 'tuner.db'}").study_names()
    assert names == [TRIPLE, f"{TRIPLE} batch=4"]
    assert calls
    new = [kind for kind, key, time in baselines(folder) if (kind, key, time) not in stored]
    assert new == ["latency"]  # the scores are the same
    assert len(finished(folder)) == 3
