"""The database: foreign files are refused, several processes may use it, and studies have names."""

import os
import sqlite3
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import text

from tuner.errors import UsageError
from tuner.storage.address import check_address
from tuner.storage.database import Storage
from tuner.storage.worker import WORKER, Worker

ROOT = Path(__file__).parent.parent.parent


def address(folder: Path) -> str:
    return f"sqlite:///{folder / 'tuner.db'}"


def test_a_baseline_is_stored_under_its_kind_and_key(tmp_path: Path) -> None:
    storage = Storage(address(tmp_path))
    assert storage.get("scores", "k") is None
    storage.put("scores", "k", {"steps": 4}, {"scores": [1.5, 2.0]})
    storage.put("latency", "k", {"steps": 4}, {"batch_seconds": [0.1]})
    storage.put("scores", "k", {"steps": 4}, {"scores": [3.0]})
    reopened = Storage(address(tmp_path), create=False)
    assert reopened.get("scores", "k") == {"scores": [3.0]}
    assert reopened.get("latency", "k") == {"batch_seconds": [0.1]}
    assert reopened.get("scores", "other") is None


def test_a_study_with_another_way_of_evaluating_gets_a_readable_suffix(tmp_path: Path) -> None:
    storage = Storage(address(tmp_path))
    names = [
        storage.open_study("SD1.5/DDIM/50", {"batch": batch, "seed": seed}).study_name
        for batch, seed in ((4, 42), (8, 42), (4, 42), (8, 7), (8, 42))
    ]
    first, eight, seven = "SD1.5/DDIM/50", "SD1.5/DDIM/50 batch=8", "SD1.5/DDIM/50 batch=8,seed=7"
    assert names == [first, eight, first, seven, eight]
    assert storage.study_names() == [first, eight, seven]


def test_the_suffix_names_missing_values_and_distinguishes_long_ones(tmp_path: Path) -> None:
    storage = Storage(address(tmp_path))
    long = "imagereward 0123456789abcdef + lpips alex 0123456789abcdef"
    names = [
        storage.open_study("a/b/1", {"batch": 4} | extra).study_name
        for extra in ({"beside": "ssim"}, {}, {"beside": long + " + ssim"}, {"beside": long + "!"})
    ]
    assert names[:2] == ["a/b/1", "a/b/1 beside=none"]
    assert len(set(names)) == 4


def test_a_study_maximizes_the_speedup_and_minimizes_the_score_loss(tmp_path: Path) -> None:
    study = Storage(address(tmp_path)).open_study("a/b/1", {"batch": 4})
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["speedup", "score loss"]


def test_a_new_study_gives_no_warning(tmp_path: Path) -> None:
    storage = Storage(address(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        storage.open_study("a/b/1", {"batch": 4})


def test_an_unknown_study_names_those_that_exist(tmp_path: Path) -> None:
    storage = Storage(address(tmp_path))
    storage.open_study("SD1.5/DDIM/50", {"batch": 4})
    with pytest.raises(UsageError, match=r"did you mean SD1\.5/DDIM/50\?"):
        storage.study("SD1.5/DDIM/20")
    with pytest.raises(UsageError, match=r"SD1\.5/DDIM/50"):
        storage.study("something else")


def test_a_name_that_no_database_can_hold_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no study"):
        Storage(address(tmp_path)).study("SD1.5/DDIM/\udc80")


def test_a_study_is_found_and_opened_without_reading_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(address(tmp_path))
    lists: list[None] = []
    monkeypatch.setattr(storage.optuna, "get_all_studies", lambda: lists.append(None) or [])
    for way in ({"batch": 4}, {"batch": 8}, {"batch": 8}):
        opened = storage.open_study("SD1.5/DDIM/50", way)
        assert storage.study(opened.study_name)._study_id == opened._study_id
    assert lists == []


def test_many_concurrent_workers_do_not_lock_the_database(tmp_path: Path) -> None:
    Storage(address(tmp_path))

    def work(worker: int) -> None:
        storage = Storage(address(tmp_path))
        study = storage.open_study("a/b/1", {"batch": 4})
        for number in range(6):
            trial = study.ask()
            trial.set_user_attr(WORKER, str(Worker.me()))
            storage.put("scores", f"{worker}/{number}", {}, {"scores": [number]})
            study.tell(trial, (1.0, 0.0))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    study = Storage(address(tmp_path)).study("a/b/1")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 24
    assert sorted(trial.number for trial in study.trials) == list(range(24))


def test_no_connection_waits_for_the_disk_at_every_commit(tmp_path: Path) -> None:
    for _ in range(2):  # the first time the tables are created, the second time they exist
        storage = Storage(address(tmp_path))
        for engine in (storage.engine, storage.optuna.engine):
            with engine.connect() as first, engine.connect() as second:
                for connection in (first, second):
                    assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
                    assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_several_processes_may_create_the_database_at_the_same_moment(tmp_path: Path) -> None:
    code = (
        "import sys; from tuner.storage.database import Storage; print('ready', flush=True); "
        "sys.stdin.readline(); Storage(sys.argv[1]).put('scores', sys.argv[2], {}, {})"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, address(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for number in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    errors = [worker.communicate(timeout=600)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], errors
    storage = Storage(address(tmp_path), create=False)
    assert all(storage.get("scores", str(number)) == {} for number in range(3))


def test_long_names_that_differ_only_at_the_end_are_different_studies(tmp_path: Path) -> None:
    storage = Storage(address(tmp_path))
    storage.open_study("a/b/1", {})
    long = {f"part {number:02d}": "x" * 30 for number in range(20)}
    ways = [long | {"part 19": last} for last in ("y", "z")] + [
        {"prompts": "a/b"},
        {"prompts": "a-b"},
    ]
    names = [storage.open_study("a/b/1", way).study_name for way in ways]
    assert len(set(names)) == 4
    assert all(len(name) <= 500 for name in names)
    assert [storage.open_study("a/b/1", way).study_name for way in ways] == names


@pytest.mark.parametrize("table", ["recipes", "studies"])
def test_a_file_of_another_program_is_not_changed(table: str, tmp_path: Path) -> None:
    path = tmp_path / "tuner.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE {table} (title TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="belongs to another program"):
        Storage(address(tmp_path))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["tuner.db"]


def test_optuna_studies_of_another_program_are_not_changed(tmp_path: Path) -> None:
    theirs = optuna.create_study(storage=address(tmp_path), study_name="theirs")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(UsageError, match="belongs to another program"):
        Storage(address(tmp_path), create=False)
    with sqlite3.connect(tmp_path / "tuner.db") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not {name for name in tables if name.startswith("tuner_")}


def test_reading_does_not_create_a_database(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no database"):
        Storage(address(tmp_path), create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql+pymysql://me:secret@host/name", "cannot use; try postgresql"),
        ("postgresql+ours://me:secret@host/name", "SQLAlchemy does not know"),
        ("postgresql+pg8000://me:secret@host/name", "needs a driver: .*; pip install 'pg8000'"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused_before_anything_is_measured(
    url: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_address(url)
    assert "secret" not in str(caught.value)
