"""Metrics beside the score: what a trial measures, and the baseline's side of them.

A comparison needs the baseline's pictures, so they are kept, bit for bit and as PNG files in base64
(at most 1.1 MB for 512 x 512 pixels), under a key of everything that changes them. A reward needs
the baseline's scores, kept as the score's are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner.measure import statistics
from tuner.measure.baseline import BaselineScores, Store, key_of, payload_of
from tuner.measure.pictures import digest, from_text, to_text
from tuner.measure.statistics import Estimate
from tuner.metrics import MetricKind


@dataclass(frozen=True, kw_only=True)
class ExtraMetric:
    """A metric beside the score, loaded."""

    component: MetricKind
    metric: Any  # a `Comparison` or a `Metric`, as the component says

    @property
    def name(self) -> str:
        """What people type."""
        return self.component.name


class Reference:
    """The baseline's side: its pictures for the comparisons, its scores for the rewards.

    Where something is not kept yet, the baseline is generated once: `add` its batches, then `keep`.
    """

    def __init__(
        self,
        metrics: tuple[ExtraMetric, ...],
        parts: Mapping[str, Any],
        store: Store,
        first: int = 0,
    ) -> None:
        """`parts`: everything that changes pictures and scores, as the score's baseline has it.

        `first` is the number of the first of its prompts.
        """
        self._store = store
        self._first = first
        self._pictures = {name: value for name, value in parts.items() if name != "metric"}
        self._rewards = {one.name: one.metric for one in metrics if not one.component.compares}
        self._parts = {
            name: {**parts, "metric": metric.identity} for name, metric in self._rewards.items()
        }
        self._missing = {name for name in self._rewards if self._kept(name) is None}
        compares = any(one.component.compares for one in metrics)
        self._lacks_pictures = compares and self._kept_pictures() is None
        self._found: dict[str, list[float]] = {name: [] for name in self._missing}
        self._before: dict[str, list[float]] = {}
        self._digests: list[str] = []
        self._bytes = 0

    @property
    def complete(self) -> bool:
        """Whether everything is kept."""
        return not self._missing and not self._lacks_pictures

    @property
    def size(self) -> int:
        """Bytes that the kept pictures take."""
        kept = self._kept_pictures()
        return 0 if kept is None else int(kept["bytes"])

    def add(self, numbers: range, images: list[Any], prompts: list[str]) -> None:
        """Take up a batch of the baseline."""
        for name in self._missing:
            self._found[name] += self._rewards[name].score(images, prompts)
        self._digests += [digest(image) for image in images]
        if self._lacks_pictures:
            for number, image in zip(numbers, images, strict=True):
                png = to_text(image)
                self._store.put("picture", self._key(number), {}, {"png": png})
                self._bytes += len(png)

    def keep(self) -> None:
        """Keep what was added; only now is it taken for complete."""
        for name in self._missing:
            scores = BaselineScores(scores=self._found[name], digests=self._digests)
            parts = self._parts[name]
            self._store.put("scores", key_of(parts), parts, payload_of(scores))
        if self._lacks_pictures:
            payload = {"count": len(self._digests), "bytes": self._bytes}
            self._store.put("pictures", key_of(self._pictures), self._pictures, payload)
        self._missing, self._lacks_pictures = set(), False

    def pictures(self, numbers: range) -> list[Any]:
        """The baseline's pictures of these prompts."""
        found = [self._store.get("picture", self._key(number)) for number in numbers]
        return [from_text(one["png"]) for one in found if one is not None]

    def scores(self, name: str, numbers: range) -> list[float]:
        """The baseline's scores of a reward for these prompts."""
        if name not in self._before:
            kept = self._kept(name)
            assert kept is not None
            self._before[name] = BaselineScores(**kept).scores
        return [self._before[name][number - self._first] for number in numbers]

    def _key(self, number: int) -> str:
        return f"{key_of(self._pictures)}/{number}"

    def _kept(self, name: str) -> dict[str, Any] | None:
        return self._store.get("scores", key_of(self._parts[name]))

    def _kept_pictures(self) -> dict[str, Any] | None:
        return self._store.get("pictures", key_of(self._pictures))


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """What the metrics beside the score say of one setting's pictures, prompt by prompt."""

    metrics: tuple[ExtraMetric, ...]
    found: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self, numbers: range, images: list[Any], prompts: list[str], reference: Reference
    ) -> None:
        """Judge a batch."""
        compared = any(one.component.compares for one in self.metrics)
        before = reference.pictures(numbers) if compared else []
        for one in self.metrics:
            values = self.found.setdefault(one.name, [])
            if one.component.compares:
                values += one.metric.compare(images, before)
            else:
                scores = reference.scores(one.name, numbers)
                after = one.metric.score(images, prompts)
                values += [old - new for old, new in zip(scores, after, strict=True)]

    def estimates(self) -> dict[str, Estimate]:
        """Each metric's figure over the prompts so far."""
        return {name: statistics.mean(values) for name, values in self.found.items()}


def of_equal(metrics: tuple[ExtraMetric, ...]) -> dict[str, Estimate]:
    """The figures of the baseline itself."""
    equal = {one.name: one.component.equal for one in metrics}
    return {name: Estimate(value=value, low=value, high=value) for name, value in equal.items()}
