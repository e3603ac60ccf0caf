"""What can go wrong, as one short tree.

TunerError
├── UsageError            the user's input is wrong: one line, exit code 2
│   └── UnfitError        an accelerator does not work with this pipeline
├── TrialError            one trial failed; the study goes on
│   └── BadPictureError   the pictures are black, constant or not a number; not tried again
└── UnreachedError        the run ended without what was asked: exit code 1
"""


class TunerError(Exception):
    """Anything that this package raises on purpose."""


class UsageError(TunerError):
    """The user's input is wrong; the message says what, where, and what would work."""


class UnfitError(UsageError):
    """An accelerator does not work with this pipeline, scheduler or call."""


class TrialError(TunerError):
    """One trial failed; the message is the reason that is kept with it."""


class BadPictureError(TrialError):
    """The pictures are black, constant or not a number, whatever a metric says of them."""


def in_words(error: Exception) -> str:
    """An error's message on one line; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


class UnreachedError(TunerError):
    """The run ended without what was asked: nothing feasible, or the target not reached."""
