"""A PostgreSQL server for tests and benchmarks: a temporary one, on a free port of loopback."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType

import psutil

DEBIAN = Path("/usr/lib/postgresql")  # its packages put a version's programs in `15/bin`
START_S = 60.0


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    if _programs() is None:
        return f"PostgreSQL is neither in {DEBIAN} nor in PATH; apt install postgresql"
    try:
        import psycopg  # noqa: F401 (whether it is there)
    except ImportError as error:
        return f"{error}; pip install 'psycopg[binary]'"
    return None


class PostgreSQL:
    """A server that runs for the length of a ``with`` block, and ends with this process.

    Its data is in a folder of its own, which is deleted at the end. It listens on 127.0.0.1 only
    and wants no password. As root it runs as the user `postgres` or `nobody`, because PostgreSQL
    refuses to run as root.
    """

    def __init__(self, options: Sequence[str] = ("max_connections=300",)) -> None:
        """`options` are lines of postgresql.conf, such as 'fsync=off'."""
        programs = _programs()
        assert programs is not None, missing()
        self._programs = programs
        # Not TMPDIR: another user may be unable to enter that.
        self.folder = Path(tempfile.mkdtemp(prefix="tuner-postgres-", dir="/tmp"))
        self._user = _server_user()
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self.port = _free_port()
        self._options = options
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._data = self.folder / "data"
        arguments = ("--auth=trust", "--username=tuner", "--encoding=UTF8", "--no-sync")
        made = self._run("initdb", "-D", str(self._data), *arguments)
        assert made.returncode == 0, made.stderr

    def __enter__(self) -> "PostgreSQL":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def address(self, database: str) -> str:
        """The address of a database for SQLAlchemy; the database need not exist."""
        return f"postgresql+psycopg://tuner@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database; returns its address."""
        import psycopg

        name = f"tuner{next(self._numbers)}"
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.address(name)

    def start(self) -> None:
        """Start the server, or start it again; returns once it answers."""
        settings = (
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            f"unix_socket_directories={self.folder}",
            *self._options,
        )
        flags = [flag for setting in settings for flag in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                self._command("postgres", "-D", str(self._data), *flags),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._await()

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: connections are closed ('fast'), or it crashes ('immediate')."""
        if self._server is not None:
            meaning = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
            self._server.send_signal(meaning[mode])
            self._server.wait(START_S)
            self._server = None

    def kill(self) -> None:
        """Kill the server and the processes of its connections, with SIGKILL."""
        assert self._server is not None
        server = psutil.Process(self._server.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.kill()
        self._server.wait(START_S)
        psutil.wait_procs(processes, START_S)
        self._server = None

    def freeze(self) -> None:
        """Suspend the server and its connections: it answers nothing, as behind a cut network."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self._signal_all(signal.SIGCONT)

    @property
    def _admin(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=tuner dbname=postgres"

    def _signal_all(self, which: signal.Signals) -> None:
        assert self._server is not None
        server = psutil.Process(self._server.pid)
        for process in (server, *server.children(recursive=True)):
            process.send_signal(which)

    def _await(self) -> None:
        import psycopg

        assert self._server is not None
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self._admin, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self._command(program, *arguments)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def _command(self, program: str, *arguments: str) -> list[str]:
        """A command line that runs a program as another user than root, and ends with us."""
        other_user = [] if self._user is None else [f"--reuid={self._user}", "--clear-groups"]
        ends_with_us = ["setpriv", "--pdeathsig=QUIT", *other_user, "--"]
        return [*ends_with_us, str(self._programs / program), *arguments]


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs."""
    folders = sorted(DEBIAN.glob("*/bin"), key=lambda folder: float(folder.parent.name))
    if folders:
        return folders[-1]
    found = shutil.which("postgres")
    return None if found is None else Path(found).resolve().parent


def _server_user() -> str | None:
    """The user that the server runs as; None for the one of this process."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
