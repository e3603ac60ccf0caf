"""What a trial finds out about a setting: speeds are ratios to the baseline, never seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from tuner.measure.account import Account
from tuner.measure.baseline_store import BaselineLatency, BaselineScores
from tuner.measure.device import PeakMemory
from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate


@dataclass(frozen=True, kw_only=True)
class Measurement(Figures):
    """What is known of a setting after some of its prompts."""

    baseline_s: float  # seconds per image of the baseline, as it is stored from now on
    baseline_denoising_s: float | None = None  # of its denoising alone
    scores: list[float] = field(repr=False)  # one for each prompt
    numbers: list[int] = field(repr=False)  # of the prompts that the scores belong to
    baseline_scores: list[float] = field(default_factory=list, repr=False)  # of the same prompts
    ratios: list[float] = field(repr=False)  # of the timing pairs
    predicted: float | None = None  # the speedup that the search expected
    same_pictures: bool  # all byte-identical to the baseline's: the setting does nothing
    note: str | None = None  # what is odd about it: changes nothing, or is slower
    timed: bool = True  # whether no further timing would make the speedup more precise
    cost: Account = field(default_factory=Account, repr=False)  # of all that was measured

    @classmethod
    def of_baseline(
        cls,
        scores: BaselineScores,
        latency: BaselineLatency,
        *,
        latency_key: str,
        fidelity: Mapping[str, Estimate],
        note: str,
    ) -> Self:
        """The baseline as a setting; nothing has to be measured."""
        return cls(
            prompts=len(scores.scores),
            speedup=Estimate(value=1.0, low=1.0, high=1.0),
            denoising=Estimate(value=1.0, low=1.0, high=1.0),
            score_loss=Estimate(value=0.0, low=0.0, high=0.0),
            baseline_s=latency.latency_s,
            baseline_denoising_s=latency.denoising_s,
            latency_key=latency_key,
            score=sum(scores.scores) / len(scores.scores),
            fidelity=fidelity,
            scores=scores.scores,
            baseline_scores=scores.scores,
            numbers=list(range(len(scores.scores))),
            ratios=[],
            memory=PeakMemory(**latency.memory),
            same_pictures=True,
            note=note,
        )
