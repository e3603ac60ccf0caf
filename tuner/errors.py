"""The tree of errors.

TunerError
├── UsageError            the user's input is wrong: one line, exit code 2
│   ├── UnfitError        an accelerator does not work with this pipeline
│   └── MissingExtraError an extra of this package is not installed
├── TrialError            one trial failed; the study continues
│   └── BadPictureError   the pictures are black, constant or NaN; not tried again
└── UnreachedError        the run ended without reaching its goal: exit code 1
"""


class TunerError(Exception):
    """Base of all errors that this package raises on purpose."""


class UsageError(TunerError):
    """The user's input is wrong; the message says what, where, and what would work."""


class UnfitError(UsageError):
    """An accelerator does not work with this pipeline, scheduler or call."""


class MissingExtraError(UsageError, ImportError):
    """Packages are missing that an extra of this package installs; the message names it."""


class TrialError(TunerError):
    """One trial failed; the message is stored with the trial as the reason."""


class BadPictureError(TrialError):
    """The pictures are black, constant or NaN, so that the scores of a metric mean nothing."""


def in_words(error: Exception) -> str:
    """An error's message on one line, or the name of its class if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__


class UnreachedError(TunerError):
    """The run ended without reaching its goal: nothing feasible, or the target not reached."""
