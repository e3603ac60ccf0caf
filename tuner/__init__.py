"""Tune training-free accelerators of diffusion models: fast settings, pictures as good, proof."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.loading import load
    from tuner.params.apply import applied, apply
    from tuner.session import run
    from tuner.spec import StudySpec

__all__ = ["StudySpec", "applied", "apply", "load", "run"]
__version__ = "0.1.0"

_HOMES = {
    "StudySpec": "tuner.spec",
    "applied": "tuner.params.apply",
    "apply": "tuner.params.apply",
    "load": "tuner.loading",
    "run": "tuner.session",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
