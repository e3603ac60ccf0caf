"""What a trial finds out about a setting: of its speed the ratios to the baseline, and no times."""

from dataclasses import dataclass, field

from tuner.measure.device import PeakMemory
from tuner.measure.statistics import Estimate


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is known of a setting after some of its prompts."""

    prompts: int  # how many were evaluated
    speedup: Estimate
    score_loss: Estimate
    baseline_s: float  # seconds per image of the baseline, as it is kept from now on
    score: float  # baseline score · (1 − loss): of the baseline's prompts, whatever this one's are
    fidelity: dict[str, Estimate]  # the figures of the metrics beside the score
    scores: list[float] = field(repr=False)
    numbers: list[int] = field(repr=False)  # of the prompts that the scores are of
    ratios: list[float] = field(repr=False)
    memory: PeakMemory  # of one batch
    same_pictures: bool  # all byte-identical to the baseline's: the setting does nothing
    note: str | None = None  # what is odd about it: changes nothing, or is slower
    denoising: Estimate | None = None  # the speedup of denoising alone
    baseline_denoising_s: float | None = None  # seconds per image of the baseline's
    latency_key: str | None = None  # of the machine and versions under which it was timed
    timed: bool = True  # the speedup is known as well as it is going to be
    unsteady: str | None = None  # why its latency is not to be relied upon
