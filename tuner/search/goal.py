"""What a search is after, and whether a result is it."""

from dataclasses import dataclass

from tuner.search.limits import Limits
from tuner.search.record import Result, Verification, best
from tuner.spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Fastest within the limits, or the first that meets a target as well."""

    limits: Limits
    speedup: float | None = None
    latency_s: float | None = None

    @classmethod
    def of(cls, spec: StudySpec) -> "Goal":
        """The goal that a study asks for."""
        return cls(limits=Limits.of(spec), speedup=spec.req_speedup, latency_s=spec.req_time)

    @property
    def has_target(self) -> bool:
        """Whether the search stops at the first result that is good enough."""
        return self.speedup is not None or self.latency_s is not None

    def met_by(self, result: Result) -> bool:
        """Feasible, and as fast as asked in every respect; where measured again, there too."""
        measured: list[Result | Verification] = [result]
        if result.verified is not None:
            measured.append(result.verified)
        accelerated = bool(result.setting.accelerators)
        return (
            accelerated
            and result.feasible(self.limits)
            and all(
                (self.speedup is None or one.speedup.value >= self.speedup)
                and (self.latency_s is None or one.latency_s <= self.latency_s)
                for one in measured
            )
        )

    def reached(self, found: list[Result]) -> Result | None:
        """The fastest result that meets the goal."""
        return best([one for one in found if self.met_by(one)], self.limits)

    def __str__(self) -> str:
        """For people: 'speedup ≥ 2 and loss under 2 %'."""
        parts = []
        if self.speedup is not None:
            parts.append(f"speedup ≥ {self.speedup:g}")
        if self.latency_s is not None:
            parts.append(f"latency ≤ {self.latency_s:g} s")
        parts.append(str(self.limits))
        return " and ".join(parts)
