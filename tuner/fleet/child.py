"""A process of its own for one function: `python -m tuner.fleet.child DESCRIPTOR`.

The function runs in the main thread, where Ctrl-C is handled and torch has no state of anybody
else. The process ends the function as Ctrl-C does when it is told to stop, when it gets SIGTERM,
and when the process that started it is gone.
"""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tuner.errors import TunerError, in_words
from tuner.fleet.place import Place

STOP = "stop"

# What the process sends: MESSAGE with what the function sent, and in the end one of the others.
MESSAGE, RESULT, INTERRUPTED, FAILED = "message", "result", "interrupted", "failed"


Send = Callable[[Any], None]  # sends a message of plain values: texts, numbers, lists, dicts
Work = Callable[[int, Send], Any]  # gets the worker's number


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the process is to do."""

    place: Place
    number: int  # of the worker, among those of its run
    folder: str  # the current folder of whoever asked; used where it exists
    function: bytes  # pickled `Work`


def main() -> None:
    """Read the request from standard input, and write messages and the end to a descriptor."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    orders = Connection(os.dup(sys.stdin.fileno()), writable=False)
    answers = Answers(Connection(int(sys.argv[1]), readable=False))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print
    request: Request = orders.recv()
    request.place.take()
    threading.Thread(target=_obey, args=(orders,), name="orders", daemon=True).start()
    kind, content = _end_of(request, answers)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing left to stop
    answers.send(kind, content)


def _end_of(request: Request, answers: "Answers") -> tuple[str, Any]:
    """Run the function; returns how it ended."""
    try:
        if Path(request.folder).is_dir():
            os.chdir(request.folder)
        work: Work = pickle.loads(request.function)
        return RESULT, work(request.number, lambda message: answers.send(MESSAGE, message))
    except KeyboardInterrupt:
        return INTERRUPTED, None
    except TunerError as error:
        return FAILED, in_words(error)
    except Exception as error:
        sys.excepthook(*sys.exc_info())  # the traceback goes to the log of the Dask worker
        return FAILED, f"{type(error).__name__}: {in_words(error)}"


class Answers:
    """Sends to the process that started this one, as long as that is there."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        """Send a message or the end."""
        with self._lock, suppress(OSError):
            self._connection.send((kind, content))


def _obey(orders: Connection) -> None:
    """Interrupt the main thread at each order to stop, and once the other side is gone."""
    while True:
        try:
            orders.recv()
        except (EOFError, OSError):
            _interrupt()
            return
        _interrupt()


def _interrupt() -> None:
    """Send SIGINT to the main thread, also where that waits in a system call."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)


if __name__ == "__main__":
    main()
