"""What the frontier sampler knows of a space, what a trial says, and the scale of features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from tuner.plans.features import PARTS, Reuse
from tuner.setting import Setting
from tuner.study.schema import PAIRED

OLD_PAIRS = 3
UNKNOWN = 0.1  # the standard error of a figure from one prompt


@dataclass(frozen=True, kw_only=True)
class SearchContext:
    """What the sampler knows of a space before any trial."""

    candidates: Sequence[Setting]  # no two of them the same computation
    distributions: Mapping[str, BaseDistribution]
    flat: Callable[[Setting], dict[str, Any]]  # a setting's numbers, by the distributions' names
    work: Callable[[Setting], np.ndarray]  # `tuner.plans.features.step_rows`
    reuse: Callable[[Setting], Reuse]  # `tuner.plans.features.reuse`
    # Similar settings; None where the candidates are the whole space, and not a sample of it.
    neighbours: Callable[[Setting], list[Setting]] | None = None
    # Whether the plan tells what a setting computes, so that its speed follows from timed steps.
    predictable: Callable[[Setting], bool] = lambda _: True
    # Whether a setting is in the space; one of an earlier request may not be, and only trains.
    holds: Callable[[Setting], bool] = lambda _: True


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What timed pairs of batches say of a setting's speedup, without any prediction."""

    speedup: float  # the median of the pairs' ratios
    pairs: int
    predicted: float | None = None  # the speedup that was expected before


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a trial says of its setting: its loss, and its speedup where that was measured."""

    setting: Setting
    loss: float
    error: float  # standard error of the loss
    speedup: float | None = None
    timing: "Timing | None" = None  # by pairs, where some were timed
    prompts: int | None = None  # that the figures are means over
    current: bool = True  # False: its loss trains the model, but the setting is to be timed again
    timed_now: bool = True  # under the current latency key
    others: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # figure, error
    # `SearchContext.reuse` in the study that it is of, where that has another number of steps.
    reused: Reuse | None = field(default=None, compare=False)

    def is_superseded_by(self, other: "Observation") -> bool:
        """Whether another one of the same setting counts in its place.

        One that is current counts before one that is not, then the one with more prompts.
        """
        return (self.current, self.prompts or 0) < (other.current, other.prompts or 0)


def observation(stored: Mapping[str, Any]) -> Observation:
    """An observation from the attributes that are stored with a trial."""
    return Observation(
        setting=Setting.of(stored["setting"]),
        loss=stored["score_loss"],
        error=_error(stored["score_loss"], stored["score_loss_ci"]),
        speedup=stored.get("speedup"),
        timing=_timing(stored),
        prompts=stored.get("prompts"),
        others={
            name: (figure["value"], _error(figure["value"], figure["ci"]))
            for name, figure in stored.get("fidelity", {}).items()
        },
    )


def _timing(stored: Mapping[str, Any]) -> Timing | None:
    """The timing of a trial; versions without predictions timed at least three pairs of each."""
    paired = stored.get(PAIRED, {})
    if not paired.get("count"):
        timed = "speedup" in stored and stored.get("speedup_from") is None
        return Timing(speedup=stored["speedup"], pairs=OLD_PAIRS) if timed else None
    return Timing(
        speedup=paired["speedup"],
        pairs=paired["count"],
        predicted=paired["predicted"],
    )


def timings_of(results: Sequence[Observation]) -> list[tuple[Setting, Timing]]:
    """The settings of results that were timed in pairs, with their timings."""
    return [(result.setting, result.timing) for result in results if result.timing is not None]


def _error(value: float, interval: Sequence[float]) -> float:
    """About the standard error that a 95% interval was made from.

    A skewed figure has one end drawn out; the nearer end is two standard errors away.
    """
    half = min(value - interval[0], interval[1] - value)
    return half / 2 if np.isfinite(half) else UNKNOWN


class Scale:
    """Scales features to between zero and one over the first candidates; constant ones are dropped.

    The first `summary` of the scaled features summarise a generation. The others follow its course
    in `PARTS` equal parts, and are divided by the root of `PARTS` as well: a kind of reuse that
    differs in every part then counts as much as one feature of the summary.
    """

    def __init__(self, reused: Sequence[Reuse]) -> None:
        points, first = _rows(reused), len(reused[0].summary)
        self._low = points.min(axis=0)
        span = points.max(axis=0) - self._low
        self._varied = span > 1e-9
        self._span = np.where(self._varied, span, 1)
        self._span[first:] *= PARTS**0.5
        self.summary = max(1, int(self._varied[:first].sum()))

    def __call__(self, reused: Sequence[Reuse]) -> np.ndarray:
        """Scaled features, shape (n, features that vary), with at least one feature."""
        if not self._varied.any():
            return np.zeros((len(reused), 1))
        scaled: np.ndarray = (_rows(reused) - self._low) / self._span
        return scaled[:, self._varied]


def _rows(reused: Sequence[Reuse]) -> np.ndarray:
    return np.vstack([np.concatenate(parts) for parts in reused])
