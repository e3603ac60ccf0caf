"""One run on a device at a time, tested with real processes."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tuner.measure.device import own_cores
from tuner.measure.lock import device_lock, lock_files

ROOT = Path(__file__).parent.parent.parent
HOLD = """
import os, sys
from tuner.measure.device import own_cores
from tuner.measure.lock import device_lock
if sys.argv[2:]:
    os.sched_setaffinity(0, map(int, sys.argv[2:]))
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
    """Starts processes that hold a device until they read a line."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, device: str = "cpu", *, cores: Sequence[int] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, device, *map(str, cores)],
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


def let_go(process: subprocess.Popen[str]) -> None:
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
    let_go(first)
    assert line_of(first) == "released"
    assert line_of(second) == "held"


def test_a_killed_holder_does_not_block_others(hold: Holders) -> None:
    first = hold()
    assert line_of(first) == "held"
    second = hold()
    assert line_of(second).startswith("waiting")
    first.send_signal(signal.SIGKILL)
    assert line_of(second) == "held"
    second.kill()
    second.wait()
    notices: list[str] = []
    with device_lock("cpu", notices.append):
        assert notices == []


def test_each_device_has_its_own_lock(hold: Holders) -> None:
    assert line_of(hold("cpu")) == "held"
    assert line_of(hold("mps")) == "held"


def test_a_block_that_fails_releases_the_device(hold: Holders) -> None:
    notices: list[str] = []
    with pytest.raises(RuntimeError), device_lock("cpu", notices.append):
        raise RuntimeError
    assert line_of(hold()) == "held"
    assert notices == []


def test_an_unusable_temporary_folder_is_a_warning(folder: Path) -> None:
    lock_files("cpu")[0].parent.write_text("a file in the folder's place")
    notices: list[str] = []
    with device_lock("cpu", notices.append):
        pass
    assert len(notices) == 1
    assert notices[0].startswith("cannot lock cpu (")
    assert "TMPDIR" in notices[0]
    assert "\n" not in notices[0]


def test_a_lock_whose_holder_is_unknown_is_waited_for_too(hold: Holders, folder: Path) -> None:
    first = hold()
    assert line_of(first) == "held"
    lock_files("cpu")[0].write_text("not yet signed")
    second = hold()
    assert line_of(second) == "waiting for cpu: another process is measuring on it"
    first.kill()
    assert line_of(second) == "held"


def test_all_runs_of_a_user_share_one_file_wherever_they_start(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lock_files("cpu")
    monkeypatch.chdir(tmp_path_factory.mktemp("another clone"))
    names = [f"cpu-{core}.lock" for core in own_cores()]
    assert lock_files("cpu") == before == [folder / f"tuner-{os.getuid()}" / name for name in names]
    with device_lock("cpu", pytest.fail):
        assert before[0].parent.stat().st_mode & 0o777 == 0o700


def test_processes_with_cores_of_their_own_measure_at_the_same_time(hold: Holders) -> None:
    cores = own_cores()
    if len(cores) < 2:
        pytest.skip("this process may use one core only")
    first, second = hold(cores=cores[:1]), hold(cores=cores[1:])
    assert line_of(first) == line_of(second) == "held"
    assert line_of(hold(cores=cores[1:])).startswith(f"waiting for cpu: process {second.pid} ")


def test_a_process_that_may_use_every_core_waits_for_all_of_them(hold: Holders) -> None:
    last = hold(cores=own_cores()[-1:])
    assert line_of(last) == "held"
    everywhere = hold()
    assert line_of(everywhere).startswith(f"waiting for cpu: process {last.pid} ")
    let_go(last)
    assert line_of(everywhere) == "held"
