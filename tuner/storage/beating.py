"""Heartbeats and other things that a process writes in a thread while it works."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

BEAT_S = 20.0  # between two heartbeats


@contextmanager
def beating(beat: Callable[[], None], name: str, every_s: float = BEAT_S) -> Iterator[None]:
    """Call `beat` every `every_s` seconds for the length of a ``with`` block.

    It is called in a daemon thread of this name. An error of the database ends nothing: the next
    call may succeed, and what works meanwhile reports the error itself.
    """
    ended = threading.Event()

    def beat_until_the_end() -> None:
        while not ended.wait(every_s):
            try:
                beat()
            except (SQLAlchemyError, StorageInternalError):
                continue

    thread = threading.Thread(target=beat_until_the_end, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
