"""Starts the process of a worker (`tuner.fleet.child`), passes on its messages, and stops it."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tuner.fleet.child import INTERRUPTED, MESSAGE, STOP, Request

DIED = "died"
POLL_S = 0.5  # between two looks at whether the process is to stop

RUNNING: dict[str, list["WorkerProcess"]] = {}  # of this process, by the name of their run


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the process of a worker ended."""

    kind: str  # `child.RESULT`, `child.INTERRUPTED`, `child.FAILED` or `DIED`
    content: Any  # the result; what went wrong in one line; None


class WorkerProcess:
    """A process that runs one function in its main thread."""

    def __init__(self, request: Request) -> None:
        """Start it, in a session of its own: Ctrl-C in a terminal reaches only who started it."""
        reading, writing = os.pipe()
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuner.fleet.child", str(writing)],
            stdin=subprocess.PIPE,
            pass_fds=(writing,),
            env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,
        )
        os.close(writing)
        assert self._process.stdin is not None
        self._orders = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._process.stdin.close()
        self._answers = Connection(reading, writable=False)
        self._send(request)

    def wait(
        self,
        on_message: Callable[[Any], None],
        is_to_stop: Callable[[], bool] = lambda: False,
    ) -> Ended:
        """Pass on messages until the process has ended; `is_to_stop` is asked now and then."""
        ended, stopped = None, False
        with self._answers, self._orders, suppress(EOFError, OSError):
            while True:
                if not stopped and is_to_stop():
                    stopped = True
                    self.stop()
                is_gone = self._process.poll() is not None
                if not self._answers.poll(POLL_S):
                    if is_gone:  # a process that it forked may keep the other end open
                        break
                    continue
                kind, content = self._answers.recv()
                if kind == MESSAGE:
                    on_message(content)
                else:
                    ended = Ended(kind=kind, content=content)
        code = self._process.wait()
        if ended is not None:
            return ended
        if stopped:
            return Ended(kind=INTERRUPTED, content=None)
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Ended(kind=DIED, content=f"its process {self._process.pid} ended with {cause}")

    def stop(self) -> None:
        """End the function as Ctrl-C does; a second time at once."""
        self._send(STOP)

    def _send(self, content: Any) -> None:
        with suppress(OSError):  # it has ended
            self._orders.send(content)


def stop_processes(run: str) -> None:
    """Stop the processes of a run that this process started."""
    for process in RUNNING.get(run, []):
        process.stop()
