"""One run on a device at a time: two at once would spoil each other's latency."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tuner.passwords import hidden

POLL_S = 0.5  # between two looks at a lock that another process holds


@contextmanager
def device_lock(device: str, notice: Callable[[str], None]) -> Iterator[None]:
    """Hold a device for the length of a ``with`` block; wait while another process holds it.

    The lock is the operating system's, on a file of this user's that all clones share, and goes
    with the process however it ends. It only asks: other programs use the device as they like.

    Args:
        device: 'cpu', 'cuda:1', 'mps'.
        notice: is told in one line for whom is waited, or why there is no lock; the block runs
            all the same then.
    """
    from filelock import FileLock, Timeout

    held = None
    try:
        path = lock_file(device)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # A lock that is only a file would outlive a killed process.
        lock = FileLock(path, on_acquired=_sign, fallback_to_soft=False, preserve_lock_file=True)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            notice(f"waiting for {device}: {_holder(path)} measures on it")
            held = lock.acquire(poll_interval=POLL_S)
    except OSError as error:
        notice(
            f"cannot lock {device} ({error}); another run on it would spoil the latencies: "
            "set TMPDIR to a folder that can be written to"
        )
    try:
        yield
    finally:
        if held is not None:
            held.lock.release()


def lock_file(device: str) -> Path:
    """The file whose lock stands for a device: one for each user and physical device."""
    name = device
    if device.startswith("cuda"):  # whose number depends on what a process may see
        import torch

        name = f"cuda-{torch.cuda.get_device_properties(device).uuid}"
    return Path(tempfile.gettempdir()) / f"tuner-{os.getuid()}" / f"{name}.lock"


def _sign(file: int) -> None:
    """Write into the lock's file who holds it."""
    import psutil

    signature = {
        "pid": os.getpid(),
        "command": " ".join(" ".join(map(hidden, psutil.Process().cmdline())).split())[:200],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(signature).encode(), 0)


def _holder(path: Path) -> str:
    """Who signed a lock's file, for people."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['pid']} ({who['command']}, since {who['since']})"
    except (OSError, ValueError, LookupError, TypeError):  # it is being signed at this moment
        return "another process"
