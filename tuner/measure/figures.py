"""The figures of a setting: what one measurement says of its speed, its quality and its memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuner.measure.device import PeakMemory
from tuner.measure.statistics import Estimate


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one measurement of a setting found, over a number of prompts.

    Measurements, results of trials and verifications all are figures, and each field here is
    stored, read and exported by what it is (`tuner.study.schema`, `tuner.params.write`): a new
    figure is a field, with a default for studies that were stored before it existed.
    """

    prompts: int  # how many were evaluated
    speedup: Estimate  # the baseline's latency over the setting's
    score_loss: Estimate  # a share of the baseline's score
    score: float  # baseline score · (1 − loss): of the study's first prompts, whatever these are
    # What the speedup is from: "pairs" of batches, or the "model" of latencies with the few pairs
    # that confirm it.
    speedup_from: str = "pairs"
    denoising: Estimate | None = None  # the speedup of denoising alone
    fidelity: Mapping[str, Estimate] = field(default_factory=dict)  # of extra metrics, by name
    memory: PeakMemory = field(default_factory=PeakMemory)  # the peak of one batch
    unsteady: str | None = None  # why the latency is unreliable
    latency_key: str | None = None  # digest of the machine and versions that it was timed with
