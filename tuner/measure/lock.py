"""One run on a device at a time: two at once would falsify each other's latencies."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tuner.measure.device import own_cores
from tuner.passwords import hidden

POLL_S = 0.5  # between two attempts to take a lock that another process holds


@contextmanager
def device_lock(device: str, notice: Callable[[str], None]) -> Iterator[None]:
    """Hold a device for the length of a ``with`` block; wait while another process holds it.

    Of a CPU a process holds the cores on which it may run (`os.sched_setaffinity`), so that
    processes with cores of their own measure at the same time. The locks are the operating
    system's, on files that all runs of this user share, and are released when the process ends, in
    whatever way. They are advisory: other programs may use the device.

    Args:
        device: 'cpu', 'cuda:1', 'mps'.
        notice: called with one line that says which process holds the lock, or why there is no
            lock; the block runs without a lock, too.
    """
    with ExitStack() as held:
        try:
            is_told = False
            for path in lock_files(device):  # in the order of the cores, so that none waits forever
                is_told |= _lock(path, device, held, _silent if is_told else notice)
        except OSError as error:
            notice(
                f"cannot lock {device} ({error}), so another run on it at the same time could "
                "distort the latencies; set TMPDIR to a folder that can be written to"
            )
        yield


def _lock(path: Path, device: str, held: ExitStack, notice: Callable[[str], None]) -> bool:
    """Lock a file until `held` is closed; returns whether another process had locked it."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(mode=0o700, exist_ok=True)
    # A lock that is merely a file's existence would outlive a killed process.
    lock = FileLock(path, on_acquired=_sign, fallback_to_soft=False, preserve_lock_file=True)
    try:
        lock.acquire(timeout=0)
        is_free = True
    except Timeout:
        is_free = False
        notice(f"waiting for {device}: {_holder(path)} is measuring on it")
        lock.acquire(poll_interval=POLL_S)
    held.callback(lock.release)
    return not is_free


def _silent(line: str) -> None:
    """Print nothing: that the run waits was said."""


def holder_of(device: str) -> str | None:
    """The process that holds the lock of a device, in words; None where no process holds it.

    It is found out by taking the lock for a moment.
    """
    return next(filter(None, map(_holder_now, lock_files(device))), None)


def _holder_now(path: Path) -> str | None:
    from filelock import FileLock, Timeout

    if not path.is_file():
        return None
    try:
        with FileLock(path, timeout=0, fallback_to_soft=False, preserve_lock_file=True):
            return None
    except Timeout:
        return _holder(path)
    except OSError:
        return None


def lock_files(device: str) -> list[Path]:
    """The files that are locked for a device: for each user, one a GPU and one a core."""
    names = [device]
    if device == "cpu":
        names = [f"cpu-{core}" for core in own_cores()]
    if device.startswith("cuda"):  # its number depends on which devices the process sees
        import torch

        names = [f"cuda-{torch.cuda.get_device_properties(device).uuid}"]
    folder = Path(tempfile.gettempdir()) / f"tuner-{os.getuid()}"
    return [folder / f"{name}.lock" for name in names]


def _sign(file: int) -> None:
    """Write into the lock's file which process holds it."""
    import psutil

    signature = {
        "pid": os.getpid(),
        "command": " ".join(" ".join(map(hidden, psutil.Process().cmdline())).split())[:200],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(signature).encode(), 0)


def _holder(path: Path) -> str:
    """The process that holds the lock, as its file describes it."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} ({holder['command']}, since {holder['since']})"
    except (OSError, ValueError, LookupError, TypeError):  # the file is being written just now
        return "another process"
