"""What a sampler knows of a space, what trials taught it, and where settings lie to each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from tuner.plans.features import PARTS, Reuse
from tuner.setting import Setting

UNKNOWN = 0.1  # the standard error of a figure from one prompt


@dataclass(frozen=True, kw_only=True)
class SearchContext:
    """What the sampler knows of a space before any trial.

    `work` and `reuse` are those of `tuner.plans.features` for a setting; `candidates` are
    settings of which no two are the same computation, and `around` gives those beside one where
    they are only a sample; `flat` gives a setting's numbers as the trial will be asked for them.
    What `holds` refuses is outside the space, from a day that asked for more: it only teaches.
    """

    candidates: Sequence[Setting]
    distributions: Mapping[str, BaseDistribution]
    flat: Callable[[Setting], dict[str, Any]]
    work: Callable[[Setting], np.ndarray]
    reuse: Callable[[Setting], Reuse]
    around: Callable[[Setting], list[Setting]] | None = None
    holds: Callable[[Setting], bool] = lambda _: True


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one trial taught: the loss and its standard error; the speedup where it was measured."""

    setting: Setting
    loss: float
    error: float
    speedup: float | None = None
    prompts: int | None = None  # of which the figures are means
    holds: bool = True  # False: it teaches the loss, and the setting is to be measured here
    others: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # figure, error
    # Its `SearchContext.reuse`, where that is of another number of steps.
    reused: Reuse | None = field(default=None, compare=False)

    def fewer(self, other: "Observation") -> bool:
        """Whether another one of the same setting counts in its place.

        That holds here while it does not, or it has more prompts.
        """
        return (self.holds, self.prompts or 0) < (other.holds, other.prompts or 0)


def observation(kept: Mapping[str, Any]) -> Observation:
    """What a trial's attributes teach."""
    return Observation(
        setting=Setting.of(kept["setting"]),
        loss=kept["score_loss"],
        error=_error(kept["score_loss"], kept["score_loss_ci"]),
        speedup=kept.get("speedup"),
        prompts=kept.get("prompts"),
        others={
            name: (one["value"], _error(one["value"], one["ci"]))
            for name, one in kept.get("fidelity", {}).items()
        },
    )


def _error(value: float, interval: Sequence[float]) -> float:
    """About the standard error that a 95 % interval was made of.

    An end that was drawn out for a skew tells of that; the other is two standard errors away.
    """
    half = min(value - interval[0], interval[1] - value)
    return half / 2 if np.isfinite(half) else UNKNOWN


class Scale:
    """Features between zero and one over the first candidates; what never differs is left out.

    The first `summary` are those that sum a generation up. The others follow its course, in equal
    parts, and are scaled by them: a kind of reuse that differs throughout counts as one.
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
        """Shape (n, features that vary), one at least."""
        if not self._varied.any():
            return np.zeros((len(reused), 1))
        scaled: np.ndarray = (_rows(reused) - self._low) / self._span
        return scaled[:, self._varied]


def _rows(reused: Sequence[Reuse]) -> np.ndarray:
    return np.vstack([np.concatenate(one) for one in reused])
