"""Creating tables and indexes, which several processes may do at the same time."""

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

Made = TypeVar("Made")
# What databases report where another process creates the same: SQLite, Optuna's tables, PostgreSQL.
RACES = (OperationalError, IntegrityError, ProgrammingError)


def created(make: Callable[[], Made], races: tuple[type[Exception], ...] = RACES) -> Made:
    """What `make` returns, which creates tables or indexes unless they are there."""
    for _ in range(9):
        try:
            return make()
        except races:
            time.sleep(0.2)
    return make()
