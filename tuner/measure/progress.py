"""What is known of a setting while it is measured, compared with the baseline by prompt."""

from dataclasses import dataclass, field
from typing import Any

from tuner.measure import statistics
from tuner.measure.baseline_store import BaselineLatency, BaselineScores
from tuner.measure.device import PeakMemory
from tuner.measure.extra_metrics import Fidelity, Reference
from tuner.measure.paired_timing import PairedTimings
from tuner.measure.pictures import digest
from tuner.measure.statistics import Estimate
from tuner.setting import Setting


@dataclass(kw_only=True)
class Progress:
    """Grows batch by batch; the dictionaries are by the prompts' numbers."""

    setting: Setting
    latency: BaselineLatency  # the stored one
    timings: PairedTimings
    fidelity: Fidelity
    memory: PeakMemory = field(default_factory=PeakMemory)  # of one batch
    paired_batch: int | None = None  # place of the batch that is paired for its timing only
    images: list[Any] = field(default_factory=list)  # of the last batch
    baseline_scores: dict[int, float] = field(default_factory=dict)
    baseline_digests: dict[int, str] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    same_pictures: bool = True  # all are byte-identical to the baseline's

    def add_baseline(self, numbers: range, baseline: BaselineScores) -> None:
        """Take in the baseline's figures of these prompts."""
        self.baseline_scores |= zip(numbers, baseline.scores, strict=True)
        self.baseline_digests |= zip(numbers, baseline.digests, strict=True)

    def add(
        self,
        numbers: range,
        prompts: list[str],
        scores: list[float],
        reference: Reference,
    ) -> None:
        """Take in the scores of the last batch, of prompts whose baseline was added before."""
        self.scores |= zip(numbers, scores, strict=True)
        self.fidelity.add(numbers, self.images, prompts, reference)
        expected = [self.baseline_digests[number] for number in numbers]
        self.same_pictures &= [digest(image) for image in self.images] == expected

    @property
    def numbers(self) -> list[int]:
        """The numbers of the prompts so far, in ascending order."""
        return sorted(self.scores)

    @property
    def score_loss(self) -> Estimate:
        """The score loss over the prompts so far."""
        return statistics.score_loss(
            [self.baseline_scores[number] for number in self.numbers],
            [self.scores[number] for number in self.numbers],
        )
