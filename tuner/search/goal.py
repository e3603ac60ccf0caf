"""The goal of a search: whether a result meets it, and which limits block it where it does not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from tuner import registry
from tuner.formatting import percent, plain, seconds, short_percent, times
from tuner.limits import Limits
from tuner.measure.measurement import Measurement
from tuner.spec import StudySpec
from tuner.study.best import fastest_feasible, pareto_front
from tuner.study.results import VERIFICATION, Result, Verification

SPEED = "speed"
OTHER_KEY = "its speed was measured on another machine or with other package versions"


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A target or limit that a result does not meet.

    `share` is by how much, relative to what was requested: at 0.1 an image takes a tenth longer
    than requested, or a figure misses its limit by a tenth of the limit.
    """

    name: str  # 'speed', 'score loss', the name of an extra metric, or `VERIFICATION`
    share: float
    text: str  # as it is displayed: 'speedup 1.42× instead of 2×'


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The fastest result within the limits or, with a target, the first that meets that too.

    Only results whose accelerators are all requested count: a study may have results with others,
    from an earlier request.
    """

    limits: Limits
    speedup: float | None = None
    latency_s: float | None = None
    accelerators: frozenset[str] | None = None  # that are requested; all where None

    @classmethod
    def of(cls, spec: StudySpec) -> "Goal":
        """The goal in a study's specification."""
        return cls(
            limits=Limits.of(spec),
            speedup=spec.req_speedup,
            latency_s=spec.req_time,
            accelerators=frozenset(spec.search_targets),
        )

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> "Goal":
        """The goal in the last request that is stored with a study."""
        return cls(
            limits=Limits.of_request(request),
            speedup=request.get("req_speedup"),
            latency_s=request.get("req_time"),
            accelerators=_named(request.get("search_targets")),
        )

    @property
    def has_target(self) -> bool:
        """Whether the search stops at the first result that meets the goal."""
        return self.speedup is not None or self.latency_s is not None

    def least_speedup(self, latency_s: float) -> float | None:
        """The speedup that reaches the target at a baseline's latency; None without a target."""
        needed = [] if self.speedup is None else [self.speedup]
        if self.latency_s is not None:
            needed.append(latency_s / self.latency_s)
        return max(needed, default=None)

    def is_too_slow(self, measured: Measurement) -> bool:
        """Whether a speedup, as far as it is known, misses the target; False without one."""
        least = self.least_speedup(measured.baseline_s)
        return least is not None and measured.speedup.value < least

    def met_by(self, result: Result) -> bool:
        """Whether a result is feasible and reaches the target, also in its verification if any.

        A target is met only by a speedup that was measured under the current latency key.
        """
        return self._is_eligible(result) and not self.misses(result)

    def may_be_met_by(self, result: Result) -> bool:
        """Whether it meets the goal, or may meet it once timed under the current latency key."""
        return self._is_eligible(result) and not self._missed(result)

    def holds(self, result: Result) -> bool:
        """Whether the verification of a result meets the goal; False where it has none."""
        verified = result.verified
        if verified is None or result.failed_again is not None:
            return False
        too_slow = list(self._too_slow(verified)) if verified.current else []
        return not too_slow and not list(self._over_limits(verified))

    def _is_eligible(self, result: Result) -> bool:
        """Whether it accelerates anything, by requested accelerators only."""
        return bool(result.setting.accelerators) and self.admits(result)

    def admits(self, result: Result) -> bool:
        """Whether all its accelerators are requested."""
        if self.accelerators is None:
            return True
        return all(part.name in self.accelerators for part in result.setting.accelerators)

    def admitted(self, results: Iterable[Result]) -> list[Result]:
        """The results all of whose accelerators are requested."""
        return [result for result in results if self.admits(result)]

    def misses(self, result: Result) -> list[Miss]:
        """The targets and limits that a result does not meet, worst first.

        Of a trial and its verification the worse one counts. Of a required speedup and a required
        latency only the one that is missed by more is listed. With a target, a speedup that was
        not measured under the current latency key is a miss of its own.
        """
        misses = self._missed(result)
        if self.has_target and not result.current and SPEED not in misses:
            misses[SPEED] = Miss(name=SPEED, share=0.0, text=OTHER_KEY)
        return sorted(misses.values(), key=lambda miss: -miss.share)

    def _missed(self, result: Result) -> dict[str, Miss]:
        """The misses of a result by their names, under whichever latency key it was timed."""
        worst: dict[str, Miss] = {}
        if result.failed_again is not None:
            worst[VERIFICATION] = Miss(name=VERIFICATION, share=inf, text=result.failed_again)
        misses = [*self._too_slow(result), *self._over_limits(result)]
        verified = result.verified
        if verified is not None:
            too_slow = self._too_slow(verified) if verified.current else ()
            misses += [
                replace(miss, text=f"{miss.text} when verified")
                for miss in (*too_slow, *self._over_limits(verified))
            ]
        for miss in misses:
            if miss.name not in worst or miss.share > worst[miss.name].share:
                worst[miss.name] = miss
        return worst

    def _too_slow(self, measured: Result | Verification) -> Iterator[Miss]:
        speedup, latency_s = measured.speedup.value, measured.latency_s
        if self.speedup is not None and speedup < self.speedup:
            text = f"speedup {times(speedup)} instead of {self.speedup:g}×"
            yield Miss(name=SPEED, share=self.speedup / speedup - 1, text=text)
        if self.latency_s is not None and latency_s > self.latency_s:
            text = f"{seconds(latency_s)} per image instead of {self.latency_s:g} s"
            yield Miss(name=SPEED, share=latency_s / self.latency_s - 1, text=text)

    def _over_limits(self, measured: Result | Verification) -> Iterator[Miss]:
        for name in self.limits.missed(measured.score_loss.value, measured.fidelity):
            if name in self.limits.others:
                metric = registry.get("metrics", name)
                value, limit = measured.fidelity[name].value, self.limits.others[name]
                side = "over" if metric.above else "under"
                text = f"{metric.figure} {plain(value)} instead of {side} {limit:g}"
            else:
                value, limit = measured.score_loss.value, self.limits.score_loss
                text = f"{name} {percent(value)} instead of under {short_percent(limit)}"
            yield Miss(name=name, share=abs(value - limit) / (abs(limit) or 1.0), text=text)

    def reached(self, results: list[Result]) -> Result | None:
        """The fastest result that meets the goal."""
        return fastest_feasible([result for result in results if self.met_by(result)], self.limits)

    def answer(self, results: list[Result]) -> Result | None:
        """The result that is exported as the best: the fastest feasible one if none meets the goal.

        A target that no result reaches leaves settings that are fast and feasible all the same.
        """
        admitted = self.admitted(results)
        return self.reached(admitted) or fastest_feasible(admitted, self.limits)

    def front(self, results: list[Result]) -> list[Result]:
        """What is shown as the front, slowest first: the Pareto front, and the answer.

        The answer may be beaten by a setting that is hardly faster and was not verified, or that
        missed the target when it was.
        """
        front, answer = pareto_front(self.admitted(results), self.limits), self.answer(results)
        if answer is not None and answer not in front:
            front.append(answer)
        return sorted(front, key=lambda result: result.speedup.value)

    def candidate(self, results: list[Result]) -> Result | None:
        """The fastest result that meets the goal, or may do so when it is timed again."""
        return fastest_feasible(
            [result for result in results if self.may_be_met_by(result)], self.limits
        )

    def closest(self, results: list[Result]) -> Result | None:
        """The accelerated result whose worst miss is the smallest relative to what was requested.

        So 1.9× instead of 2× with a loss of 2.1% instead of 2% is closer than a result that meets
        one of them and is far from the other. Between equal results the next worst miss decides,
        then the speedup.
        """

        def distance(result: Result) -> tuple[list[float], float]:
            return [miss.share for miss in self.misses(result)], -result.speedup.value

        accelerated = [result for result in results if result.setting.accelerators]
        return min(accelerated, key=distance, default=None)

    def blocking_limits(self, results: list[Result]) -> list[tuple[Miss, Result]]:
        """Each target or limit that is the only miss of some result, with the nearest such result.

        If it were dropped or relaxed, that result would meet the goal.
        """
        nearest: dict[str, tuple[Miss, Result]] = {}
        for result in results:
            misses = self.misses(result)
            if result.setting.accelerators and len(misses) == 1:
                (miss,) = misses
                if miss.name not in nearest or miss.share < nearest[miss.name][0].share:
                    nearest[miss.name] = miss, result
        return list(nearest.values())

    def __str__(self) -> str:
        """In words: 'speedup ≥ 2 and score loss under 2%'."""
        parts = []
        if self.speedup is not None:
            parts.append(f"speedup ≥ {self.speedup:g}")
        if self.latency_s is not None:
            parts.append(f"latency ≤ {self.latency_s:g} s")
        parts.append(str(self.limits))
        return " and ".join(parts)


def _named(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
