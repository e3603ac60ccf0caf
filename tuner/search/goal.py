"""What a search is after, whether a result is it, and what it lacks where it is not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from tuner import registry
from tuner.limits import Limits
from tuner.spec import StudySpec
from tuner.study.results import VERIFICATION, Result, Verification, fastest_feasible

SPEED = "speed"
ELSEWHERE = "its speed was measured on another machine or with other versions"


@dataclass(frozen=True, kw_only=True)
class Miss:
    """One thing that was asked of a result and that it does not keep.

    `share` is of what was asked: 0.1 takes a tenth longer, or is off a limit by a tenth of it.
    """

    name: str  # the speed, the score loss, or a metric beside the score
    share: float
    text: str  # for people: '1.42× where 2× is asked'


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Fastest within the limits, or the first that meets a target as well.

    Of the accelerators that may be on: a study may have results of others, from another day.
    """

    limits: Limits
    speedup: float | None = None
    latency_s: float | None = None
    accelerators: frozenset[str] | None = None  # that may be on; all where None

    @classmethod
    def of(cls, spec: StudySpec) -> "Goal":
        """The goal that a study asks for."""
        return cls(
            limits=Limits.of(spec),
            speedup=spec.req_speedup,
            latency_s=spec.req_time,
            accelerators=frozenset(spec.search_targets),
        )

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> "Goal":
        """The goal that a stored study was last asked for."""
        return cls(
            limits=Limits.of_request(request),
            speedup=request.get("req_speedup"),
            latency_s=request.get("req_time"),
            accelerators=_named(request.get("search_targets")),
        )

    @property
    def has_target(self) -> bool:
        """Whether the search stops at the first result that is good enough."""
        return self.speedup is not None or self.latency_s is not None

    def met_by(self, result: Result) -> bool:
        """Feasible, and as fast as asked in every respect; where measured again, there too.

        A target is met by nothing but what was timed on the machine and with the versions of today.
        """
        return self._may_be_handed_over(result) and not self.misses(result)

    def may_be_met_by(self, result: Result) -> bool:
        """Whether it meets the goal, or may do so once its speed is measured here and now."""
        return self._may_be_handed_over(result) and not self._missed(result)

    def _may_be_handed_over(self, result: Result) -> bool:
        return bool(result.setting.accelerators) and self.admits(result)

    def admits(self, result: Result) -> bool:
        """Whether all its accelerators may be on."""
        return self.accelerators is None or self.accelerators.issuperset(result.setting.params)

    def admitted(self, found: Iterable[Result]) -> list[Result]:
        """The results all of whose accelerators may be on."""
        return [one for one in found if self.admits(one)]

    def misses(self, result: Result) -> list[Miss]:
        """What a result does not keep, worst first; each in the worse of its two measurements.

        A speedup and a latency that are both asked are one thing, the one that is missed by more.
        With a target, a speed that was not measured here and now is a miss of its own.
        """
        found = self._missed(result)
        if self.has_target and not result.current and SPEED not in found:
            found[SPEED] = Miss(name=SPEED, share=0.0, text=ELSEWHERE)
        return sorted(found.values(), key=lambda miss: -miss.share)

    def _missed(self, result: Result) -> dict[str, Miss]:
        """What the figures do not keep, wherever the speed was measured last."""
        found: dict[str, Miss] = {}
        if result.failed_again is not None:
            found[VERIFICATION] = Miss(name=VERIFICATION, share=inf, text=result.failed_again)
        misses = [*self._too_slow(result), *self._over_limits(result)]
        again = result.verified
        if again is not None:
            both = [*(self._too_slow(again) if again.current else ()), *self._over_limits(again)]
            misses += [replace(one, text=f"{one.text} when measured again") for one in both]
        for miss in misses:
            if miss.name not in found or miss.share > found[miss.name].share:
                found[miss.name] = miss
        return found

    def _too_slow(self, one: Result | Verification) -> Iterator[Miss]:
        speedup, latency_s = one.speedup.value, one.latency_s
        if self.speedup is not None and speedup < self.speedup:
            text = f"{speedup:.2f}× where {self.speedup:g}× is asked"
            yield Miss(name=SPEED, share=self.speedup / speedup - 1, text=text)
        if self.latency_s is not None and latency_s > self.latency_s:
            text = f"{latency_s:.3f} s per image where {self.latency_s:g} s is asked"
            yield Miss(name=SPEED, share=latency_s / self.latency_s - 1, text=text)

    def _over_limits(self, one: Result | Verification) -> Iterator[Miss]:
        for name in self.limits.missed(one.score_loss.value, one.fidelity):
            if name in self.limits.others:
                metric = registry.get("metrics", name)
                value, limit = one.fidelity[name].value, self.limits.others[name]
                side = "over" if metric.above else "under"
                text = f"{metric.figure} {value:.3g} where {side} {limit:g} is asked"
            else:
                value, limit = one.score_loss.value, self.limits.score_loss
                text = f"{name} {value:.2%} where under {100 * limit:.3g}% is asked"
            yield Miss(name=name, share=abs(value - limit) / (abs(limit) or 1.0), text=text)

    def reached(self, found: list[Result]) -> Result | None:
        """The fastest result that meets the goal."""
        return fastest_feasible([one for one in found if self.met_by(one)], self.limits)

    def candidate(self, found: list[Result]) -> Result | None:
        """The fastest result that meets the goal, or may do so when it is measured now."""
        return fastest_feasible([one for one in found if self.may_be_met_by(one)], self.limits)

    def closest(self, found: list[Result]) -> Result | None:
        """The accelerated result whose worst miss is the smallest share of what was asked.

        So 1.9× of 2× with a loss of 2.1 % of 2 % is closer than what keeps one and is far from the
        other. Of equal ones the next worst miss decides, then the speedup.
        """

        def away(one: Result) -> tuple[list[float], float]:
            return [miss.share for miss in self.misses(one)], -one.speedup.value

        accelerated = [one for one in found if one.setting.accelerators]
        return min(accelerated, key=away, default=None)

    def obstacles(self, found: list[Result]) -> list[tuple[Miss, Result]]:
        """What stands in the way: each thing that is all some result misses, and by the least."""
        nearest: dict[str, tuple[Miss, Result]] = {}
        for one in found:
            misses = self.misses(one)
            if one.setting.accelerators and len(misses) == 1:
                (miss,) = misses
                if miss.name not in nearest or miss.share < nearest[miss.name][0].share:
                    nearest[miss.name] = miss, one
        return list(nearest.values())

    def __str__(self) -> str:
        """For people: 'speedup ≥ 2 and loss under 2 %'."""
        parts = []
        if self.speedup is not None:
            parts.append(f"speedup ≥ {self.speedup:g}")
        if self.latency_s is not None:
            parts.append(f"latency ≤ {self.latency_s:g} s")
        parts.append(str(self.limits))
        return " and ".join(parts)


def _named(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
