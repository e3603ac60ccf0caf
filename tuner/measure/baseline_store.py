"""What is stored of the baseline, and where."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import mean, median
from typing import Any, Protocol

from tuner.measure.stopwatch import Seconds


@dataclass(frozen=True, kw_only=True)
class BaselineScores:
    """For each prompt, in the order of the prompts: the score and a digest of the picture."""

    scores: list[float]
    digests: list[str]


@dataclass(frozen=True, kw_only=True)
class BaselineLatency:
    """Seconds of each full batch, end to end; the batch size; the peak memory of one batch."""

    batch_seconds: list[float]
    batch_size: int
    denoising_seconds: list[float] = field(default_factory=list)  # of each batch, denoising alone
    memory: dict[str, float | None] = field(default_factory=dict)  # GiB, keys as in `PeakMemory`
    busy: float | None = None  # share of the denoising in which a GPU computed, if it is known
    provisional: bool | None = None  # True until more than one batch was timed

    @classmethod
    def of(
        cls, seconds: list[Seconds], batch_size: int, memory: dict[str, float | None]
    ) -> "BaselineLatency":
        """From the seconds of full batches."""
        busy = [batch.busy for batch in seconds if batch.busy is not None]
        return cls(
            batch_seconds=[batch.elapsed for batch in seconds],
            denoising_seconds=[batch.denoising * batch.elapsed / batch.whole for batch in seconds],
            batch_size=batch_size,
            memory=memory,
            busy=mean(busy) if busy else None,
        )

    @property
    def latency_s(self) -> float:
        """Median seconds per image."""
        return median(self.batch_seconds) / self.batch_size

    @property
    def denoising_s(self) -> float | None:
        """Median seconds per image of denoising alone; None where that was not timed."""
        if not self.denoising_seconds:
            return None
        return median(self.denoising_seconds) / self.batch_size


class Store(Protocol):
    """Stores baselines from one run to the next."""

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The payload stored under a key, or None."""

    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Store a payload; `parts`, of which the key is a digest, are for people to read."""


class InMemoryStore:
    """A store that lasts as long as the process."""

    def __init__(self, entries: Mapping[tuple[str, str], dict[str, Any]] | None = None) -> None:
        """`entries`: (kind, key) -> payload, to begin with."""
        self.entries = dict(entries or {})

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The payload stored under a key, or None."""
        return self.entries.get((kind, key))

    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Store a payload; `parts` are dropped."""
        self.entries[kind, key] = payload


def payload_of(baseline: BaselineScores | BaselineLatency) -> dict[str, Any]:
    """What a store holds of it: a GPU's utilisation only where it is known."""
    return {name: value for name, value in asdict(baseline).items() if value is not None}
