"""Claims: one process has a piece of work, until it gives it back or dies."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tuner.storage import worker
from tuner.storage.claims import Claims
from tuner.storage.database import Storage
from tuner.storage.recovery import GRACE_S

STUDY = "study 1"
ELSEWHERE = "elsewhere:7/1 another-boot pid:[1]"
ROOT = Path(__file__).parent.parent.parent
# Takes a study, says so, and waits for its end.
HOLDER = """
import sys
from tuner.storage.claims import Claims
from tuner.storage.database import Storage
print(Claims(Storage(sys.argv[1]).optuna).take(sys.argv[2]), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'tuner.db'}")


@pytest.fixture
def holder(storage: Storage) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, storage.url, STUDY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.communicate()


def taken_elsewhere(storage: Storage) -> None:
    """Make the study look like one that a process of another host has."""
    with storage.engine.begin() as connection:
        values = {"worker": ELSEWHERE, "clock": "another clock"}
        connection.execute(text("UPDATE tuner_claims SET worker=:worker, clock=:clock"), values)


def test_a_study_of_another_process_is_not_given_away_until_that_is_killed(
    storage: Storage, holder: subprocess.Popen[str]
) -> None:
    own = Claims(storage.optuna)
    assert not own.take(STUDY)
    living = own.holders()[STUDY]
    assert living is not None and (living.host, living.pid) == (socket.gethostname(), holder.pid)
    assert own.take("study 2")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert own.take(STUDY)
    assert own.holders().keys() == {STUDY, "study 2"}


def test_a_study_that_was_given_back_can_be_taken(storage: Storage) -> None:
    first, second = Claims(storage.optuna), Claims(storage.optuna)
    with first.beating():
        assert first.take(STUDY) and first.take(STUDY)
        assert not second.take(STUDY)
    assert second.take(STUDY)


def test_a_process_on_another_host_loses_its_study_after_the_grace_period_without_a_heartbeat(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Claims(storage.optuna).take(STUDY)
    taken_elsewhere(storage)
    own = Claims(storage.optuna)
    start = worker.now()
    assert not own.take(STUDY)
    monkeypatch.setattr(worker, "now", lambda: start + GRACE_S / 2)
    with storage.engine.begin() as connection:
        connection.execute(text("UPDATE tuner_claims SET at = at + 20"))  # its heartbeat
    assert not own.take(STUDY)
    monkeypatch.setattr(worker, "now", lambda: start + 1.4 * GRACE_S)
    assert not own.take(STUDY)
    monkeypatch.setattr(worker, "now", lambda: start + 1.6 * GRACE_S)
    assert own.take(STUDY)


def test_heartbeats_keep_a_study(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    own, start = Claims(storage.optuna), worker.now()
    assert own.take(STUDY)
    monkeypatch.setattr(worker, "now", lambda: start + 2 * GRACE_S)
    own.beat()
    assert STUDY in Claims(storage.optuna).holders()
    monkeypatch.setattr(worker, "now", lambda: start + 4 * GRACE_S)
    assert STUDY not in Claims(storage.optuna).holders()
