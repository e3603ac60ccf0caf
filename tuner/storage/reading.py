"""Reading what a database holds that may be damaged, or changed by another program."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from tuner.errors import TunerError, UsageError, in_words
from tuner.passwords import hidden
from tuner.storage.address import full, unusable

LONGEST = 200  # characters of a library's message


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Turn errors over what a database holds into a `UsageError` of one line.

    Every value that is read was written by some version of the tuner, unless the file is damaged or
    another program wrote to it. So what cannot be read says something about the database first.
    """
    try:
        yield
    except (TunerError, BrokenPipeError):
        raise
    except Exception as error:  # of Python and libraries, over missing values and other types
        cause = _first(error)
        if isinstance(cause, sqlite3.OperationalError):  # it is locked, or its disk is full
            raise unusable(full(url), cause) from error
        said = f"{type(cause).__name__}: {in_words(cause)}"
        raise UsageError(
            f"the database {hidden(url)} holds something that this version of the tuner cannot "
            f"read ({said[:LONGEST]}); either it is damaged or was changed by another program, or "
            "this is a fault of the tuner, and --debug shows where"
        ) from error


def _first(error: Exception) -> Exception:
    """The error that SQLAlchemy and Optuna wrapped into others."""
    while isinstance(error, SQLAlchemyError | OptunaError) and isinstance(
        error.__cause__, Exception
    ):
        error = error.__cause__
    return error
