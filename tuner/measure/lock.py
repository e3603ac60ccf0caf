"""One run on a device at a time: two at once would falsify each other's latencies."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tuner.passwords import hidden

POLL_S = 0.5  # between two attempts to take a lock that another process holds


@contextmanager
def device_lock(device: str, notice: Callable[[str], None]) -> Iterator[None]:
    """Hold a device for the length of a ``with`` block; wait while another process holds it.

    The lock is the operating system's, on a file that all runs of this user share, and is released
    when the process ends, in whatever way. It is advisory: other programs may use the device.

    Args:
        device: 'cpu', 'cuda:1', 'mps'.
        notice: called with one line that says which process holds the lock, or why there is no
            lock; the block runs without a lock, too.
    """
    from filelock import FileLock, Timeout

    acquired = None
    try:
        path = lock_file(device)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # A lock that is merely a file's existence would outlive a killed process.
        lock = FileLock(path, on_acquired=_sign, fallback_to_soft=False, preserve_lock_file=True)
        try:
            acquired = lock.acquire(timeout=0)
        except Timeout:
            notice(f"waiting for {device}: {_holder(path)} is measuring on it")
            acquired = lock.acquire(poll_interval=POLL_S)
    except OSError as error:
        notice(
            f"cannot lock {device} ({error}), so another run on it at the same time could distort "
            "the latencies; set TMPDIR to a folder that can be written to"
        )
    try:
        yield
    finally:
        if acquired is not None:
            acquired.lock.release()


def holder_of(device: str) -> str | None:
    """The process that holds the lock of a device, in words; None where no process holds it.

    It is found out by taking the lock for a moment.
    """
    from filelock import FileLock, Timeout

    path = lock_file(device)
    if not path.is_file():
        return None
    try:
        with FileLock(path, timeout=0, fallback_to_soft=False, preserve_lock_file=True):
            return None
    except Timeout:
        return _holder(path)
    except OSError:
        return None


def lock_file(device: str) -> Path:
    """The file that is locked for a device: one for each user and physical device."""
    name = device
    if device.startswith("cuda"):  # its number depends on which devices the process sees
        import torch

        name = f"cuda-{torch.cuda.get_device_properties(device).uuid}"
    return Path(tempfile.gettempdir()) / f"tuner-{os.getuid()}" / f"{name}.lock"


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
