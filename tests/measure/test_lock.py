"""One run on a device at a time, between real processes."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner.measure.lock import device_lock, lock_file

ROOT = Path(__file__).parent.parent.parent
HOLD = """
import sys
from tuner.measure.lock import device_lock
with device_lock(sys.argv[1], lambda line: print(line, flush=True)):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this test and of its processes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


class Holders:
    """Starts processes that hold a device until they are told to go on."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, device: str = "cpu") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, device],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process


@pytest.fixture
def hold() -> Iterator[Holders]:
    holders = Holders()
    yield holders
    for process in holders.started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_the_second_waits_for_the_first_and_names_it(hold: Holders) -> None:
    first = hold()
    assert line_of(first) == "held"
    second = hold()
    waiting = line_of(second)
    assert waiting.startswith(f"waiting for cpu: process {first.pid} (")
    assert "device_lock" in waiting  # its command
    assert re.search(r"since \d{4}-\d\d-\d\d ", waiting)
    go_on(first)
    assert line_of(first) == "released"
    assert line_of(second) == "held"


def test_a_killed_holder_blocks_nobody(hold: Holders) -> None:
    first = hold()
    assert line_of(first) == "held"
    second = hold()
    assert line_of(second).startswith("waiting")
    first.send_signal(signal.SIGKILL)
    assert line_of(second) == "held"
    second.kill()
    second.wait()
    told: list[str] = []
    with device_lock("cpu", told.append):
        assert told == []


def test_devices_are_locked_one_by_one(hold: Holders) -> None:
    assert line_of(hold("cpu")) == "held"
    assert line_of(hold("mps")) == "held"


def test_a_block_that_fails_gives_the_device_back(hold: Holders) -> None:
    told: list[str] = []
    with pytest.raises(RuntimeError), device_lock("cpu", told.append):
        raise RuntimeError
    assert line_of(hold()) == "held"
    assert told == []


def test_a_temporary_folder_that_cannot_be_used_is_a_warning(folder: Path) -> None:
    lock_file("cpu").parent.write_text("a file in the folder's place")
    told: list[str] = []
    with device_lock("cpu", told.append):
        pass
    assert len(told) == 1
    assert told[0].startswith("cannot lock cpu (")
    assert "TMPDIR" in told[0]
    assert "\n" not in told[0]


def test_a_lock_whose_owner_is_unknown_is_waited_for_all_the_same(
    hold: Holders, folder: Path
) -> None:
    first = hold()
    assert line_of(first) == "held"
    lock_file("cpu").write_text("not yet signed")
    second = hold()
    assert line_of(second) == "waiting for cpu: another process measures on it"
    first.kill()
    assert line_of(second) == "held"


def test_runs_of_one_user_use_one_file_wherever_they_start(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lock_file("cpu")
    monkeypatch.chdir(tmp_path_factory.mktemp("another clone"))
    assert lock_file("cpu") == before == folder / f"tuner-{os.getuid()}" / "cpu.lock"
    with device_lock("cpu", pytest.fail):
        assert before.parent.stat().st_mode & 0o777 == 0o700
