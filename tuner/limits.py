"""The limits that make a result feasible: of the score loss, and of metrics beside the score."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner import registry
from tuner.measure.statistics import Estimate
from tuner.spec import StudySpec

INNER = 0.43  # the normal's quantiles: of 80 % by that of 97.5 %


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Every one must be kept strictly: distances and drops under theirs, similarities over it."""

    score_loss: float
    others: Mapping[str, float] = field(default_factory=dict)  # metric -> limit of its figure

    @classmethod
    def of(cls, spec: StudySpec) -> "Limits":
        """The limits that a study asks for."""
        return cls(score_loss=spec.req_score_loss, others=spec.limits)

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> "Limits":
        """The limits that a stored study was last asked for."""
        return cls(score_loss=request.get("req_score_loss", 0.02), others=request.get("limits", {}))

    def constraints(self, score_loss: float, fidelity: Mapping[str, float]) -> list[float]:
        """A number for each limit, at most zero exactly where it is kept; the score loss first."""
        others = [_excess(name, fidelity[name], limit) for name, limit in self.others.items()]
        return [_strictly(score_loss - self.score_loss), *others]

    def missed(self, score_loss: float, fidelity: Mapping[str, Estimate]) -> list[str]:
        """The names of the limits that are not kept."""
        values = {name: one.value for name, one in fidelity.items()}
        names = ["score loss", *self.others]
        found = zip(names, self.constraints(score_loss, values), strict=True)
        return [name for name, excess in found if excess > 0]

    def surely_missed(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> bool:
        """Whether the whole interval of one figure is past its limit."""
        return any(best > 0 for best, _ in self._spans(score_loss, fidelity))

    def surely_kept(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> bool:
        """Whether the whole interval of every figure is within its limit."""
        return all(worst <= 0 for _, worst in self._spans(score_loss, fidelity))

    def sure(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> bool:
        """Whether the whole intervals say the same: every limit is kept, or one is missed."""
        found = score_loss, fidelity
        return self.surely_missed(*found) or self.surely_kept(*found)

    def certainty(self, score_loss: Estimate, fidelity: Mapping[str, Estimate]) -> str:
        """How sure a verdict is: 'sure', 'likely' or 'unsure'.

        Sure where the whole 95 % intervals say the same, and likely where their inner parts do,
        outside of which the truth lies on one given side in a fifth of cases: 43 % of a normal
        interval, and fewer of one from a few prompts, so that likely is at least 80 %.
        """
        if self.sure(score_loss, fidelity):
            return "sure"
        inner = {name: _inner(one) for name, one in fidelity.items()}
        return "likely" if self.sure(_inner(score_loss), inner) else "unsure"

    @property
    def over(self) -> list[str]:
        """The metrics whose figure must be over their limit."""
        return [name for name in self.others if registry.get("metrics", name).above]

    def _spans(
        self, score_loss: Estimate, fidelity: Mapping[str, Estimate]
    ) -> list[tuple[float, float]]:
        """For each limit, its constraint at the better and at the worse end of the interval."""
        lows = self.constraints(score_loss.low, {k: one.low for k, one in fidelity.items()})
        highs = self.constraints(score_loss.high, {k: one.high for k, one in fidelity.items()})
        return [(min(ends), max(ends)) for ends in zip(lows, highs, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """As a study keeps them."""
        return {"score_loss": self.score_loss, **self.others}

    def __str__(self) -> str:
        """For people: 'score loss under 2% and lpips under 0.2'."""
        parts = [f"score loss under {100 * self.score_loss:.3g}%"]
        for name, limit in self.others.items():
            metric = registry.get("metrics", name)
            parts.append(f"{metric.figure} {'over' if metric.above else 'under'} {limit:g}")
        return " and ".join(parts)


def _inner(one: Estimate) -> Estimate:
    """The inner part of an interval: one-sided 80 % where the whole is two-sided 95 %."""
    return Estimate(
        value=one.value,
        low=one.value - INNER * (one.value - one.low),
        high=one.value + INNER * (one.high - one.value),
    )


def _excess(name: str, value: float, limit: float) -> float:
    above = registry.get("metrics", name).above
    return _strictly(limit - value if above else value - limit)


def _strictly(excess: float) -> float:
    """Optuna takes zero for kept; here, what reaches its limit does not keep it."""
    return excess or 1e-12
