"""Whether a worker on another host reaches the database and the pictures of a run."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tuner.fleet.task import Greeting
from tuner.storage.address import file_of, parsed
from tuner.storage.worker import clock

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# File systems over a network, as Linux names them, on which SQLite's locks cannot be relied on.
NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "glusterfs")
SERVER = "postgresql+psycopg://USER@HOST/NAME"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Where a run's database and pictures are, as its client sees them."""

    host: str  # the client's
    boot: str | None  # of the client's machine; None where unknown
    database: Path | None  # the file; None for a server
    folder: tuple[int, int] | None  # device and inode of the file's folder
    server: str | None  # the host of the database's server

    @classmethod
    def of(cls, storage: str) -> Self:
        """How this process sees the database of an address."""
        file = file_of(storage)
        place = None if file is None else file.absolute()
        return cls(
            host=socket.gethostname(),
            boot=_boot(),
            database=place,
            folder=None if place is None else _inode(place.parent),
            server=None if place is not None else parsed(storage).host,
        )

    def __call__(self) -> Greeting:
        """What a Dask worker answers: its host, and whether it can use the database."""
        here = socket.gethostname()
        return Greeting(host=here, refusal=self._refusal(here))

    def _refusal(self, here: str) -> str:
        same_machine = _boot() == self.boot if None not in (_boot(), self.boot) else None
        if same_machine is None:
            same_machine = here == self.host
        if self.database is not None and not same_machine:
            return (
                f"the database is a file on {self.host}, and SQLite works on one host only; set "
                f"storage to a server, such as {SERVER}"
            )
        if self.database is not None and _inode(self.database.parent) != self.folder:
            return (
                f"it does not see the folder {self.database.parent} of the database; set storage "
                f"to a server, such as {SERVER}"
            )
        if self.server in LOOPBACK and not same_machine:
            return (
                f"the database is on {self.server}, which on {here} means {here} itself; name the "
                f"server's host in storage, such as {SERVER}"
            )
        return ""


@contextmanager
def marked(pictures: Path | None, run: str) -> Iterator[Path | None]:
    """A file in the folder of the pictures, by which workers know that they see the same folder."""
    if pictures is None:
        yield None
        return
    pictures.mkdir(parents=True, exist_ok=True)
    mark = pictures.absolute() / f".{run}"
    mark.touch()
    try:
        yield mark
    finally:
        with suppress(OSError):
            mark.unlink()


def network_warning(storage: str) -> str | None:
    """A warning that SQLite's file is on a network's file system; None where it is not known to be.

    Whether another host uses the file cannot be known.
    """
    import psutil

    file = file_of(storage)
    if file is None:
        return None
    folder = file.absolute().parent.resolve()
    mounts = [p for p in psutil.disk_partitions(all=True) if folder.is_relative_to(p.mountpoint)]
    if not mounts:
        return None
    kind = max(mounts, key=lambda mount: len(mount.mountpoint)).fstype
    if not kind.removeprefix("fuse.").startswith((*NETWORK, "sshfs")):
        return None
    return (
        f"warning: the database {file} is on a network file system ({kind}), where SQLite's "
        f"locks may fail; for workers on several hosts set storage to a server, such as {SERVER}"
    )


def _boot() -> str | None:
    """Identifies the machine since it started: the same in all containers on it."""
    name = clock()
    return None if name is None else name.split()[0]


def _inode(folder: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
