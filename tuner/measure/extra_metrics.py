"""Extra metrics: what a trial measures in addition to the score, and the baseline's side of it.

A comparison needs the baseline's pictures, so they are stored losslessly, as PNG files in base64
(at most 1.1 MB for 512 x 512 pixels), under a key of everything that changes them. A reward needs
the baseline's scores, which are stored as those of the main metric are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner.measure import statistics
from tuner.measure.baseline_store import BaselineScores, Store, payload_of
from tuner.measure.cache_keys import key_of
from tuner.measure.pictures import digest, from_text, to_text
from tuner.measure.statistics import Estimate
from tuner.metrics import MetricKind


@dataclass(frozen=True, kw_only=True)
class ExtraMetric:
    """A metric in addition to the score, loaded."""

    component: MetricKind
    metric: Any  # a `Comparison` where `component.compares`, else a `Metric`

    @property
    def name(self) -> str:
        """The name that users type."""
        return self.component.name


class Reference:
    """The baseline's side of the extra metrics: pictures for comparisons, scores for rewards.

    Where something is not stored yet, the baseline is generated: `add` each of its batches, then
    `save`.
    """

    def __init__(
        self,
        metrics: tuple[ExtraMetric, ...],
        parts: Mapping[str, Any],
        store: Store,
        first: int = 0,
    ) -> None:
        """Read which of the baseline's pictures and scores are stored.

        Args:
            metrics: the extra metrics.
            parts: everything that changes pictures and scores (`cache_keys.score_parts`).
            store: where the pictures and scores are, or will be.
            first: the number of the first prompt that `parts` are of.
        """
        self._store = store
        self._first = first
        self._picture_parts = {name: value for name, value in parts.items() if name != "metric"}
        self._rewards = {
            extra.name: extra.metric for extra in metrics if not extra.component.compares
        }
        self._parts = {
            name: {**parts, "metric": metric.identity} for name, metric in self._rewards.items()
        }
        self._missing = {name for name in self._rewards if self._stored_scores(name) is None}
        compares = any(extra.component.compares for extra in metrics)
        self._lacks_pictures = compares and self._stored_pictures() is None
        self._new_scores: dict[str, list[float]] = {name: [] for name in self._missing}
        self._scores: dict[str, list[float]] = {}
        self._digests: list[str] = []
        self._bytes = 0

    @property
    def complete(self) -> bool:
        """Whether everything that the metrics need is stored."""
        return not self._missing and not self._lacks_pictures

    @property
    def size(self) -> int:
        """Bytes of the stored pictures."""
        stored = self._stored_pictures()
        return 0 if stored is None else int(stored["bytes"])

    def add(self, numbers: range, images: list[Any], prompts: list[str]) -> None:
        """Score a batch of the baseline and store its pictures, where they are missing."""
        for name in self._missing:
            self._new_scores[name] += self._rewards[name].score(images, prompts)
        self._digests += [digest(image) for image in images]
        if self._lacks_pictures:
            for number, image in zip(numbers, images, strict=True):
                png = to_text(image)
                self._store.put("picture", self._picture_key(number), {}, {"png": png})
                self._bytes += len(png)

    def save(self) -> None:
        """Store what was added; `complete` holds only from now on."""
        for name in self._missing:
            scores = BaselineScores(scores=self._new_scores[name], digests=self._digests)
            parts = self._parts[name]
            self._store.put("scores", key_of(parts), parts, payload_of(scores))
        if self._lacks_pictures:
            payload = {"count": len(self._digests), "bytes": self._bytes}
            key = key_of(self._picture_parts)
            self._store.put("pictures", key, self._picture_parts, payload)
        self._missing, self._lacks_pictures = set(), False

    def pictures(self, numbers: range) -> list[Any]:
        """The baseline's pictures of these prompts (`PIL.Image`)."""
        stored = [self._store.get("picture", self._picture_key(number)) for number in numbers]
        return [from_text(picture["png"]) for picture in stored if picture is not None]

    def scores(self, name: str, numbers: range) -> list[float]:
        """The baseline's scores of a reward for these prompts."""
        if name not in self._scores:
            stored = self._stored_scores(name)
            assert stored is not None
            self._scores[name] = BaselineScores(**stored).scores
        return [self._scores[name][number - self._first] for number in numbers]

    def _picture_key(self, number: int) -> str:
        return f"{key_of(self._picture_parts)}/{number}"

    def _stored_scores(self, name: str) -> dict[str, Any] | None:
        return self._store.get("scores", key_of(self._parts[name]))

    def _stored_pictures(self) -> dict[str, Any] | None:
        """Count and total size of the pictures; the pictures have keys of their own."""
        return self._store.get("pictures", key_of(self._picture_parts))


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """The values of the extra metrics on one setting's pictures, prompt by prompt."""

    metrics: tuple[ExtraMetric, ...]
    values: dict[str, list[float]] = field(default_factory=dict)  # by the metric's name

    def add(
        self, numbers: range, images: list[Any], prompts: list[str], reference: Reference
    ) -> None:
        """Compute the metrics on a batch."""
        compares = any(extra.component.compares for extra in self.metrics)
        baseline = reference.pictures(numbers) if compares else []
        for extra in self.metrics:
            values = self.values.setdefault(extra.name, [])
            if extra.component.compares:
                values += extra.metric.compare(images, baseline)
            else:
                before = reference.scores(extra.name, numbers)
                after = extra.metric.score(images, prompts)
                values += [old - new for old, new in zip(before, after, strict=True)]

    def estimates(self) -> dict[str, Estimate]:
        """Each metric's mean over the prompts so far."""
        return {name: statistics.mean(values) for name, values in self.values.items()}


def of_equal(metrics: tuple[ExtraMetric, ...]) -> dict[str, Estimate]:
    """The figures of pictures that equal the baseline's."""
    equal = {extra.name: extra.component.equal for extra in metrics}
    return {name: Estimate(value=value, low=value, high=value) for name, value in equal.items()}
