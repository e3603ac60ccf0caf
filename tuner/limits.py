"""The limits that make a result feasible: of the score loss, and of extra metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner import registry
from tuner.formatting import short_percent
from tuner.measure.statistics import Estimate
from tuner.spec import StudySpec

INNER = 0.43  # the normal distribution's 80% quantile divided by its 97.5% quantile


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A feasible result meets every limit strictly.

    Losses, distances and drops must be under their limits, similarities over theirs.
    """

    score_loss: float
    others: Mapping[str, float] = field(default_factory=dict)  # metric -> limit of its figure

    @classmethod
    def of(cls, spec: StudySpec) -> "Limits":
        """The limits in a study's specification."""
        return cls(score_loss=spec.req_score_loss, others=spec.limits)

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> "Limits":
        """The limits in the last request that is stored with a study."""
        return cls(score_loss=request.get("req_score_loss", 0.02), others=request.get("limits", {}))

    def constraints(self, score_loss: float, fidelity: Mapping[str, float]) -> list[float]:
        """A number for each limit, the score loss first: at most zero if and only if it is met."""
        others = [_excess(name, fidelity[name], limit) for name, limit in self.others.items()]
        return [_strictly(score_loss - self.score_loss), *others]

    def missed(self, score_loss: float, fidelity: Mapping[str, Estimate]) -> list[str]:
        """The names of the limits that are not met."""
        values = {name: figure.value for name, figure in fidelity.items()}
        names = ["score loss", *self.others]
        excesses = zip(names, self.constraints(score_loss, values), strict=True)
        return [name for name, excess in excesses if excess > 0]

    def surely_missed(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> bool:
        """Whether the whole 95% interval of some figure is on the wrong side of its limit."""
        return any(best > 0 for best, _ in self._spans(score_loss, fidelity))

    def surely_kept(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> bool:
        """Whether the whole 95% interval of every figure is within its limit."""
        return all(worst <= 0 for _, worst in self._spans(score_loss, fidelity))

    def sure(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> bool:
        """Whether the verdict is the same anywhere in the intervals: all met, or one missed."""
        figures = score_loss, fidelity
        return self.surely_missed(*figures) or self.surely_kept(*figures)

    def certainty(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> str:
        """How sure a verdict is: 'sure', 'likely' or 'unsure'.

        It is sure if it is the same anywhere in the 95% intervals. It is likely if it is the same
        anywhere in their inner 43%: beyond one given end of that, the truth lies in 20% of cases
        for a normal distribution, and in fewer for an interval from few prompts.
        """
        if self.sure(score_loss, fidelity):
            return "sure"
        inner = {name: _inner(figure) for name, figure in fidelity.items()}
        return "likely" if self.sure(_inner(score_loss), inner) else "unsure"

    @property
    def over(self) -> list[str]:
        """The metrics whose figure must be over their limit."""
        return [name for name in self.others if registry.get("metrics", name).above]

    def _spans(
        self, score_loss: Estimate, fidelity: Mapping[str, Estimate]
    ) -> list[tuple[float, float]]:
        """For each limit its constraint at the better and at the worse end of the interval."""
        lows = self.constraints(score_loss.low, {k: v.low for k, v in fidelity.items()})
        highs = self.constraints(score_loss.high, {k: v.high for k, v in fidelity.items()})
        return [(min(ends), max(ends)) for ends in zip(lows, highs, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """The form that is stored with a study."""
        return {"score_loss": self.score_loss, **self.others}

    def __str__(self) -> str:
        """In words: 'score loss under 2% and lpips under 0.2'."""
        parts = [f"score loss under {short_percent(self.score_loss)}"]
        for name, limit in self.others.items():
            metric = registry.get("metrics", name)
            parts.append(f"{metric.figure} {'over' if metric.above else 'under'} {limit:g}")
        return " and ".join(parts)


def _inner(whole: Estimate) -> Estimate:
    """The inner part of an interval: one-sided 80% where the whole is two-sided 95%."""
    return Estimate(
        value=whole.value,
        low=whole.value - INNER * (whole.value - whole.low),
        high=whole.value + INNER * (whole.high - whole.value),
    )


def _excess(name: str, value: float, limit: float) -> float:
    above = registry.get("metrics", name).above
    return _strictly(limit - value if above else value - limit)


def _strictly(excess: float) -> float:
    """A figure that equals its limit does not meet it, but Optuna reads zero as feasible."""
    return excess or 1e-12
