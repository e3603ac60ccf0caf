"""The process that runs a trial: how the trial names it, and whether it is gone.

A process number is meaningful only where it was assigned: on the same host, since the same boot and
in the same PID namespace. Elsewhere only the trial's heartbeat shows whether the process runs.
"""

import os
import socket
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Self

WORKER = "worker"  # trial attribute: the worker's name
CLOSE_S = 60  # tolerance for starts that an earlier version read from a clock that may be adjusted


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process, as a trial's attribute names it: 'host:pid/start boot namespace'."""

    host: str
    pid: int
    start: str  # distinguishes it from a later process of the same number
    place: str  # boot and PID namespace; '' in what earlier versions wrote

    @classmethod
    def me(cls) -> Self:
        """This process."""
        pid = os.getpid()
        return cls(host=socket.gethostname(), pid=pid, start=_start_of(pid) or "", place=_place())

    @classmethod
    def named(cls, name: str) -> Self | None:
        """The worker of this name; None if it is not the name of a worker."""
        process, _, place = name.partition(" ")
        host, _, number = process.rpartition(":")
        pid, _, start = number.partition("/")
        if not (pid.isdigit() and int(pid)):
            return None
        return cls(host=host, pid=int(pid), start=start, place=place)

    def __str__(self) -> str:
        """Its name."""
        return f"{self.host}:{self.pid}/{self.start} {self.place}".rstrip()

    @property
    def for_people(self) -> str:
        """The process in words: 'process 4711 on node1'."""
        return f"process {self.pid} on {self.host}"

    @property
    def runs(self) -> bool | None:
        """Whether the process runs; None where that cannot be determined."""
        if self.host != socket.gethostname() or self.place not in ("", _place()):
            return None
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except OSError:
            pass  # another user's
        if not self.place:
            return _began_about(self.pid, self.start)
        start = _start_of(self.pid)
        return start == self.start if start is not None else None


def now() -> float:
    """The seconds of this clock; see `clock`."""
    return monotonic()


@cache
def clock() -> str | None:
    """Which clock `time.monotonic` reads: one for all processes since a boot; None if unknown.

    It does not advance while the machine sleeps, and is never adjusted.
    """
    boot = _boot()
    return None if boot is None else f"{boot} {_namespace('time')}".rstrip()


@cache
def _place() -> str:
    """The boot and the PID namespace, within which process numbers are unique."""
    boot = _boot()
    return f"{uuid.getnode():x}" if boot is None else f"{boot} {_namespace('pid')}".rstrip()


def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None  # not Linux


def _namespace(kind: str) -> str:
    try:
        return str(Path(f"/proc/self/ns/{kind}").readlink())
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """When a process began; '' where it has ended, None where that is not visible."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _start_by_psutil(pid) if _boot() is None else None
    state, *others = fields.rpartition(")")[2].split()
    return "" if state in "ZX" else others[18]  # in ticks since the boot


def _start_by_psutil(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return "" if ended else str(int(process.create_time()))
    except psutil.NoSuchProcess:
        return ""
    except psutil.Error:
        return None


def _began_about(pid: int, start: str) -> bool:
    """Whether a process began when an earlier version of the tuner recorded that it did."""
    import psutil

    try:
        began = psutil.Process(pid).create_time()
    except psutil.Error:
        return False
    return start.isdigit() and abs(began - int(start)) <= CLOSE_S
