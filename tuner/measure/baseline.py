"""The baseline: measured once, kept under a key of everything that changes it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class BaselineScores:
    """Per prompt, in the order of the prompts: the score, and a digest of the picture."""

    scores: list[float]
    digests: list[str]


@dataclass(frozen=True, kw_only=True)
class BaselineLatency:
    """Seconds of each full batch, end to end, and the batch's size."""

    batch_seconds: list[float]
    batch_size: int

    @property
    def latency_s(self) -> float:
        """Median seconds per image."""
        return median(self.batch_seconds) / self.batch_size


class Store(Protocol):
    """Keeps baselines from one run to the next."""

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """What was kept under a key, or None."""

    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Keep a payload; `parts` are what the key was made of, for people to read."""


def key_of(parts: dict[str, Any]) -> str:
    """A digest of the parts, in whatever order they come."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def payload_of(baseline: BaselineScores | BaselineLatency) -> dict[str, Any]:
    """What a store keeps."""
    return asdict(baseline)
