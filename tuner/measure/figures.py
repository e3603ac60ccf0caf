"""The figures of a setting: its measured speed, quality and memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuner.measure.device import PeakMemory
from tuner.measure.statistics import Estimate


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of a setting, measured over a number of prompts.

    `Measurement`, `Result` and `Verification` derive from this class. Each field is stored, read
    and exported according to its type (`tuner.study.schema`, `tuner.params.write`), so that a new
    figure needs one field only, with a default for studies that were stored before it existed.
    """

    prompts: int  # how many were evaluated
    speedup: Estimate  # the baseline's latency over the setting's
    score_loss: Estimate  # a share of the baseline's score
    score: float  # baseline score · (1 − loss): of the study's first prompts, whatever these are
    # "model" where the speedup is predicted by the search's model of latencies, and no timed pair
    # of batches contradicts it; "few pairs" where it was timed in a few pairs, because they
    # contradict the model or there is none; None where enough pairs were timed to know it to 2%.
    speedup_from: str | None = None
    denoising: Estimate | None = None  # the speedup of denoising alone
    fidelity: Mapping[str, Estimate] = field(default_factory=dict)  # of extra metrics, by name
    memory: PeakMemory = field(default_factory=PeakMemory)  # the peak of one batch
    unsteady: str | None = None  # why the latency is unreliable
    latency_key: str | None = None  # digest of the machine and versions that it was timed with
