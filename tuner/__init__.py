"""Tune training-free accelerators of diffusion pipelines within limits on the loss of quality.

The public names are those of ``__all__``; each is imported when it is first used, because torch
and diffusers take seconds to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.errors import (
        BadPictureError,
        DatabaseGoneError,
        DeviceMemoryError,
        MissingExtraError,
        TrialError,
        TunerError,
        UnfitError,
        UnreachedError,
        UsageError,
    )
    from tuner.loading import load
    from tuner.outcome import Outcome
    from tuner.params.apply import applied, apply
    from tuner.session import run
    from tuner.setting import Setting
    from tuner.spec import StudySpec
    from tuner.tuning import tune

__all__ = [
    "BadPictureError",
    "DatabaseGoneError",
    "DeviceMemoryError",
    "MissingExtraError",
    "Outcome",
    "Setting",
    "StudySpec",
    "TrialError",
    "TunerError",
    "UnfitError",
    "UnreachedError",
    "UsageError",
    "applied",
    "apply",
    "load",
    "run",
    "tune",
]
__version__ = "0.1.0"

_MODULES = {
    "BadPictureError": "tuner.errors",
    "DatabaseGoneError": "tuner.errors",
    "DeviceMemoryError": "tuner.errors",
    "MissingExtraError": "tuner.errors",
    "Outcome": "tuner.outcome",
    "Setting": "tuner.setting",
    "StudySpec": "tuner.spec",
    "TrialError": "tuner.errors",
    "TunerError": "tuner.errors",
    "UnfitError": "tuner.errors",
    "UnreachedError": "tuner.errors",
    "UsageError": "tuner.errors",
    "applied": "tuner.params.apply",
    "apply": "tuner.params.apply",
    "load": "tuner.loading",
    "run": "tuner.session",
    "tune": "tuner.tuning",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use.

    Raises:
        MissingExtraError: it is for searching, and the extra `search` is not installed.
    """
    if name not in _MODULES:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    from tuner.extras import needs_extras

    with needs_extras(f"tuner.{name}"):
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names beside what is already imported, for completion."""
    return sorted({*globals(), *__all__})
