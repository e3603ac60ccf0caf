"""One finding about this machine."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    NOTE = "note"  # something is absent or odd that a search can do without
    MISSING = "missing"  # a search cannot run without it


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, what was found, and what would bring what is missing."""

    name: str  # 'device', 'packages', 'model SDXL'
    status: Status
    text: str
    remedy: str | None = None  # a command, or what to change
