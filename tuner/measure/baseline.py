"""The baseline: measured once, kept under a key of everything that changes it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Protocol

from tuner.measure.stopwatch import Seconds

UNTIMED = ("seed", "prompts", "metric")  # parts that change scores, and no latency


@dataclass(frozen=True, kw_only=True)
class BaselineScores:
    """Per prompt, in the order of the prompts: the score, and a digest of the picture."""

    scores: list[float]
    digests: list[str]


@dataclass(frozen=True, kw_only=True)
class BaselineLatency:
    """Seconds of each full batch, end to end, the batch's size, and the memory of one."""

    batch_seconds: list[float]
    batch_size: int
    denoising_seconds: list[float] = field(default_factory=list)  # of each, the denoising alone
    memory: dict[str, float | None] = field(default_factory=dict)  # GiB, as `PeakMemory` names it

    @classmethod
    def of(
        cls, seconds: list[Seconds], batch_size: int, memory: dict[str, float | None]
    ) -> "BaselineLatency":
        """From what the clock found."""
        return cls(
            batch_seconds=[one.whole for one in seconds],
            denoising_seconds=[one.denoising for one in seconds],
            batch_size=batch_size,
            memory=memory,
        )

    @property
    def latency_s(self) -> float:
        """Median seconds per image."""
        return median(self.batch_seconds) / self.batch_size

    @property
    def denoising_s(self) -> float | None:
        """Median seconds per image of denoising alone; None where that was not timed."""
        found = self.denoising_seconds
        return median(found) / self.batch_size if found else None


class Store(Protocol):
    """Keeps baselines from one run to the next."""

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """What was kept under a key, or None."""

    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Keep a payload; `parts` are what the key was made of, for people to read."""


class InMemoryStore:
    """A store that lasts as long as the process."""

    def __init__(self, kept: Mapping[tuple[str, str], dict[str, Any]] | None = None) -> None:
        self.kept = dict(kept or {})

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """What was kept under a key, or None."""
        return self.kept.get((kind, key))

    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Keep a payload."""
        self.kept[kind, key] = payload


def key_of(parts: dict[str, Any]) -> str:
    """A digest of the parts, in whatever order they come."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def timed_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Of all parts of a baseline, those that change its latency."""
    return {name: value for name, value in parts.items() if name not in UNTIMED}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what the parts of two baselines differ: 'torch 2.14.0 -> 2.15.0', 'threads 1 -> 2'."""
    old, new = _flat(before), _flat(now)
    return [
        f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _flat(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Parts as a store gives them back, those of versions and schedulers by their own names."""
    found: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(parts)).items():
        found |= value if isinstance(value, dict) else {name: value}
    return found


def payload_of(baseline: BaselineScores | BaselineLatency) -> dict[str, Any]:
    """What a store keeps."""
    return asdict(baseline)
