"""A long measurement of a setting's speedup, beside which the tuner's own are judged."""

from functools import cache

from bench.lib.miniature import evaluation_of
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.statistics import Estimate
from tuner.setting import Setting

REFERENCE = 0.005  # half of the interval of a long measurement, a share of the speedup
PAIRS = 48  # of a long measurement, at most


@cache
def timed_alone(setting: Setting, scheduler: str, steps: int, pairs: int = PAIRS) -> Estimate:
    """The speedup of a setting on the miniature, timed until its interval is ±0.5%.

    Timing ends after `pairs` pairs in any case.
    """
    evaluation = evaluation_of(
        "search", 8, scheduler=scheduler, steps=steps, most_pairs=pairs, precision=REFERENCE
    )
    return evaluation.time(setting, InMemoryStore()).speedup
