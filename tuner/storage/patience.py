"""Waiting for a database that does not answer, and giving up after a stated time.

A run asks its database through `Patience.run`. While the server is down, the network is cut, the
file is locked or the disk is full, what failed is tried again, with a line that says so; after
`WAIT_S` seconds the run ends with a `DatabaseGoneError`. After Ctrl-C the wait ends after
`LAST_WAIT_S` seconds, with the interruption. A transaction whose commit was not confirmed may have
been stored all the same: `already` finds that out before it is tried again, so that nothing is
stored twice.
"""

import sqlite3
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from tuner.errors import DatabaseGoneError
from tuner.passwords import hidden
from tuner.storage import worker
from tuner.storage.address import file_of, without_password

WAIT_S = 600.0  # until a run whose database does not answer gives up
LAST_WAIT_S = 5.0  # after Ctrl-C, so that a database that is only busy gets the trial back
FIRST_LINE_S = 2.0  # the first line is printed after it, further ones after twice as long each
LONGEST_PAUSE_S = 2.0  # between two tries
# What SQLite reports of a file that may be usable again in a moment.
_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL")

Result = TypeVar("Result")
Method = TypeVar("Method", bound=Callable[..., Any])


class Patience:
    """How one process waits for one database; it waits for nothing until `begin`."""

    _is_ending = False  # of the class, because Ctrl-C ends whatever the process waits for

    def __init__(self, url: str) -> None:
        self._url = url
        self._notice: Callable[[str], None] | None = None
        file = file_of(url)
        self._file = None if file is None else file.absolute()
        self._identity: tuple[int, int] | None = None  # of the file that the run writes to
        # Once it has given up: what ends the run is not to wait once more.
        self._gone: DatabaseGoneError | KeyboardInterrupt | None = None
        # When the database last began to answer again, by `worker.now`. A process that was silent
        # before could not have written heartbeats.
        self.answering_since = -float("inf")

    def begin(self, notice: Callable[[str], None]) -> None:
        """From now on wait for the database; `notice` prints a line about it."""
        self._notice = notice
        self._identity = _identity(self._file)
        Patience._is_ending = False  # which an earlier run in this process may have left behind

    @staticmethod
    def cut_short() -> None:
        """Ctrl-C was pressed: no database is waited for longer than `LAST_WAIT_S` seconds.

        A signal handler may call it.
        """
        Patience._is_ending = True

    def run(
        self,
        attempt: Callable[[], Result],
        already: Callable[[], Result | None] = lambda: None,
    ) -> Result:
        """The result of `attempt`, which is tried until the database answers.

        Before each further try `already` is asked for the result of an earlier one whose commit was
        stored, although the database did not confirm it; None where there is none. Raises
        `DatabaseGoneError` once the database has not answered for `WAIT_S` seconds, and after
        `cut_short` KeyboardInterrupt.
        """
        outage: Outage | None = None
        while True:
            try:
                result = already() if outage is not None else None
                if result is None:
                    result = attempt()
            except (SQLAlchemyError, StorageInternalError) as error:
                outage = self.wait(error, outage)
            else:
                self.ended(outage)
                return result

    def check_file(self) -> None:
        """Raise `DatabaseGoneError` where the file was deleted or replaced since `begin`.

        The system goes on writing to the old file, which nobody can open any more.
        """
        if self._identity is None or _identity(self._file) == self._identity:
            return
        self._gone = DatabaseGoneError(
            f"the database file {self._file} was deleted or replaced while this run used it, so "
            "that what it stores is lost; the same command begins anew, or continues the study of "
            "the file that is there now"
        )
        raise self._gone

    def wait(self, error: Exception, outage: "Outage | None") -> "Outage":
        """Wait a moment after an error; raises it where it is no passing one.

        `outage` is what this returned after the error before; None at the first one.
        """
        reason = passing_reason(error)
        if reason is None:
            self.check_file()  # which may be why a table is missing
        if reason is None or self._notice is None:
            raise error
        if self._gone is not None:
            raise self._gone from error
        outage = outage or Outage()
        try:
            outage.pause(without_password(reason, self._url), self._notice)
            if Patience._is_ending and outage.lasted_s >= LAST_WAIT_S:
                raise KeyboardInterrupt from error
        except KeyboardInterrupt as interruption:
            self._gone = interruption
            raise
        if outage.lasted_s >= WAIT_S:
            self._gone = self._gone_after(outage, reason)
            raise self._gone from error
        return outage

    def ended(self, outage: "Outage | None") -> None:
        """The database answers again, if there was an outage."""
        if outage is None:
            return
        self.answering_since = worker.now()
        if outage.was_reported and self._notice is not None:
            self._notice(f"the database answers again after {outage.lasted_s:.0f} s")

    def _gone_after(self, outage: "Outage", reason: str) -> DatabaseGoneError:
        return DatabaseGoneError(
            f"the database {hidden(self._url)} has not answered for {outage.lasted_s:.0f} s "
            f"({without_password(reason, self._url)}); all trials that had ended are stored, and "
            "the same command continues the study"
        )


class Outage:
    """A time in which the database does not answer."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._pause_s = 0.1
        self._next_line_s = FIRST_LINE_S
        self.was_reported = False

    @property
    def lasted_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def pause(self, reason: str, notice: Callable[[str], None]) -> None:
        """Sleep before the next try; now and then print that the run is waiting, and why."""
        if self.lasted_s >= self._next_line_s:
            notice(
                f"the database does not answer ({reason}); waiting ({self.lasted_s:.0f} s, at most "
                f"{WAIT_S:.0f} s)"
            )
            self.was_reported = True
            self._next_line_s = 2 * self.lasted_s
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _identity(file: Path | None) -> tuple[int, int] | None:
    """What tells a file from another one at the same place; None where there is no file."""
    try:
        stored = None if file is None else file.stat()
    except OSError:
        return None
    return None if stored is None else (stored.st_dev, stored.st_ino)


def passing_reason(error: Exception) -> str | None:
    """Why the database does not answer, in its own words; None for an error of another kind."""
    cause: BaseException | None = error
    if isinstance(cause, StorageInternalError):  # Optuna's, around that of SQLAlchemy
        cause = cause.__cause__
    if not isinstance(cause, DBAPIError):
        return None
    if isinstance(cause.orig, sqlite3.Error):
        name = getattr(cause.orig, "sqlite_errorname", "")
        passes = name.startswith(_PASSING)
    else:  # of a server: it refuses, cannot be reached, is full, or broke a deadlock
        passes = cause.connection_invalidated or isinstance(cause, OperationalError)
    return str(cause.orig).strip().splitlines()[0] if passes else None


def patient(method: Method) -> Method:
    """Have a method of an object with a `patience` wait for its database.

    Only for methods that may be called again after they were stored.
    """

    @wraps(method)
    def wait_for_answer(self: Any, *arguments: Any, **options: Any) -> Any:
        return self.patience.run(lambda: (method(self, *arguments, **options),))[0]

    return wait_for_answer  # type: ignore[return-value]
