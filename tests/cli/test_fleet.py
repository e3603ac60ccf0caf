"""The flags that name workers: what is refused, in one line."""

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy.engine.default import DefaultDialect

from tests.helpers.simulated import Bench
from tuner.cli import fleet as module
from tuner.cli.fleet import Board
from tuner.cli.main import main
from tuner.cli.sweep import EndFiles
from tuner.errors import UsageError
from tuner.fleet.child import INTERRUPTED
from tuner.fleet.process import Ended
from tuner.measure.device import own_cores


class Broken(sqlite3.OperationalError):
    """What SQLite reports of a disk that does not answer."""

    sqlite_errorname = "SQLITE_IOERR"


STUDY = ["run", "--pipe", "miniature", "--steps", "4", "--device", "cpu"]


def refusal(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    try:
        code = main([*STUDY, *flags])
    except SystemExit as error:  # argparse's
        code = int(str(error.code))
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_more_workers_than_cores_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "--workers", "9999")
    assert line.startswith("tuner: 9999 workers need 9999 cores, but this process may use only ")
    assert f"{len(own_cores())} core" in line


@pytest.mark.parametrize("workers", ["0", "-1", "two", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused(
    workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, f"--workers={workers}")
    assert f"must be a whole number of at least 1 or 'auto', not '{workers}'" in line


def test_workers_of_this_host_and_of_a_cluster_exclude_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refusal(capsys, "--workers", "1", "--scheduler", "tcp://node1:8786")
    assert "not allowed with argument --workers" in line


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1"])
def test_a_scheduler_that_does_not_answer_is_one_line(
    address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.3)
    line = refusal(capsys, "--scheduler", address)
    assert line.startswith(f"tuner: no Dask scheduler answers at {address} (")


def test_without_the_extra_cluster_the_line_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tuner.fleet", "distributed"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "tuner.cli.fleet")
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = refusal(capsys, "--workers", "1")
    assert line == (
        "tuner: tuner run needs distributed, which is not installed; "
        "run pip install 'diffusion-tuner[cluster]'"
    )


def test_pictures_that_cannot_be_kept_are_refused_before_workers_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pictures"
    file.touch()
    line = refusal(capsys, "--workers", "1", "--pictures", str(file))
    assert "pictures must be a folder that can be written to, or 'none'" in line


def board_of(bench: Bench) -> Board:
    """A board that follows the study of a bench."""
    board = Board([replace(bench.spec, storage=bench.storage.url)], Console(), None)
    board.message("vm:0", {"kind": "study", "spec": 0, "study": bench.study.study_name})
    return board


def test_the_progress_waits_for_a_database_that_does_not_answer_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = board_of(Bench(tmp_path))
    board.look()
    execute, failures = DefaultDialect.do_execute, iter([True])

    def fail_once(*arguments: Any, **options: Any) -> None:
        if next(failures, False):
            raise Broken("disk I/O error")
        execute(*arguments, **options)

    monkeypatch.setattr(DefaultDialect, "do_execute", fail_once)
    board.look()
    assert next(failures, None) is None


def test_workers_that_were_all_stopped_are_an_error_that_says_so(tmp_path: Path) -> None:
    ended = [Ended(kind=INTERRUPTED, content=None)] * 2
    with pytest.raises(UsageError, match="every worker has failed: stopped"):
        board_of(Bench(tmp_path)).finish(ended, EndFiles())
