"""What a trial finds out about a setting: speeds are ratios to the baseline, never seconds."""

from dataclasses import dataclass, field

from tuner.measure.account import Account
from tuner.measure.figures import Figures


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
