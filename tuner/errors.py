"""The tree of errors.

TunerError
├── UsageError            the user's input is wrong: one line, exit code 2
│   ├── UnfitError        an accelerator does not work with this pipeline
│   └── MissingExtraError an extra of this package is not installed
├── TrialError            one trial failed; the study continues
│   ├── BadPictureError   the pictures are black, constant or NaN; not tried again
│   └── DeviceMemoryError the device's memory is too small for a batch; not tried again
├── DatabaseGoneError     the database did not answer for minutes; the same command continues
└── UnreachedError        the run ended without reaching its goal: exit code 1
"""

from collections.abc import Iterator
from contextlib import contextmanager


class TunerError(Exception):
    """Base of all errors that this package raises on purpose."""


class UsageError(TunerError):
    """The user's input is wrong; the message says what, where, and what would work.

    `key` leads to the wrong value in a study file, as in ('knobs', 'tome', 'ratio') or, for the
    second item of a list, ('pipe', 1). It is empty if no value of a study is wrong.
    """

    def __init__(self, message: str, *, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(" ".join(message.splitlines()))  # it may quote text of several lines
        self.key = key


@contextmanager
def about(*key: str | int) -> Iterator[None]:
    """Give a `UsageError` that is raised in the block this key, unless it has one."""
    try:
        yield
    except UsageError as error:
        error.key = error.key or key
        raise


class UnfitError(UsageError):
    """An accelerator does not work with this pipeline, scheduler or call."""


class MissingExtraError(UsageError, ImportError):
    """Packages are missing that an extra of this package installs; the message names it."""


class DatabaseGoneError(TunerError):
    """The database has not answered for so long that the run ends; the same command continues."""


class TrialError(TunerError):
    """One trial failed; the message is stored with the trial as the reason."""


class BadPictureError(TrialError):
    """The pictures are black, constant or NaN, so that the scores of a metric mean nothing."""


class DeviceMemoryError(TrialError):
    """The device's memory is too small for a batch of the setting, and will be the next time."""


def in_words(error: Exception) -> str:
    """An error's message on one line, or the name of its class if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__


class UnreachedError(TunerError):
    """The run ended without reaching its goal: nothing feasible, or the target not reached."""
