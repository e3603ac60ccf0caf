"""Paired timings: a batch of the baseline and one of a setting, as often as the speedup needs.

Where the speedup is predicted (`tuner.measure.prediction`), one pair is enough while it agrees; a
trial takes few pairs in any case where the search times what matters at its end.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from statistics import median
from typing import Any

from tuner.measure import statistics
from tuner.measure.account import Purpose
from tuner.measure.interleave import RunJobs, interleaved, one_by_one, twin_of
from tuner.measure.prediction import Prediction, Scatter, of_few
from tuner.measure.statistics import Estimate, half_width
from tuner.measure.stopwatch import Seconds
from tuner.pipelines.compiling import is_compiled
from tuner.pipelines.denoiser import called_denoiser
from tuner.setting import Setting

CHANGED = 0.25  # a baseline that is this much faster or slower replaces the stored one
UNSTEADY = 0.5  # a change of this size means that other work disturbs the machine
IMPRECISE = 0.05  # a speedup whose interval is wider than ± this share is unreliable
PRECISE = 0.02  # pairs whose interval is ± this share need no prediction
RECENT = 8  # batches of the baseline whose median is its latency now
FEWEST = 3  # batches, or pairs, from which a latency or a speedup is judged by itself


@dataclass(frozen=True, kw_only=True)
class PairedTimings:
    """The timings of some pairs of batches; with more pairs, the speedup is more certain.

    `predicted` is the speedup that the search expects, if any, and `scatter` the standard deviation
    of the logarithm of one pair's ratio on this machine, which counts where there are `few`.
    """

    stored_s: float  # the baseline's latency in the store, seconds per image
    batch_size: int
    baseline: tuple[Seconds, ...] = ()
    accelerated: tuple[Seconds, ...] = ()
    predicted: Prediction | None = None
    few: bool = False
    scatter: float = Scatter.FIRST
    recent: tuple[Seconds, ...] = ()  # the last batches of the baseline, of earlier trials too

    def plus(self, baseline: Seconds, accelerated: Seconds) -> "PairedTimings":
        """These timings and one pair more."""
        return replace(
            self,
            baseline=(*self.baseline, baseline),
            accelerated=(*self.accelerated, accelerated),
        )

    @property
    def ratios(self) -> list[float]:
        """The baseline's seconds over the setting's, pair by pair."""
        return [a.whole / b.whole for a, b in zip(self.baseline, self.accelerated, strict=True)]

    @property
    def speedup(self) -> Estimate:
        """End to end."""
        if self.expected is not None:
            return self.expected.combined(self.ratios, self.scatter)
        return self._by_pairs

    @property
    def _by_pairs(self) -> Estimate:
        if self.few and FEWEST <= len(self.ratios) < statistics.SIGNED_RANKS:
            return of_few(self.ratios, self.scatter)
        return statistics.speedup(self.ratios)

    @property
    def expected(self) -> Prediction | None:
        """The prediction where the speedup relies on it.

        None where there is none, where pairs contradict it, and where they are precise without it.
        """
        predicted = self.predicted
        if predicted is None or predicted.is_contradicted(self.ratios, self.scatter):
            return None
        by_pairs = len(self.ratios) >= FEWEST and half_width(self._by_pairs) <= PRECISE
        return None if by_pairs else predicted

    @property
    def source(self) -> str | None:
        """What the speedup is from, unless enough pairs were timed: see `Figures.speedup_from`."""
        if self.expected is not None:
            return "model"
        return "few pairs" if self.few and half_width(self.speedup) > PRECISE else None

    @property
    def denoising(self) -> Estimate | None:
        """The speedup of denoising alone; None where no pair was timed."""
        if not self.ratios:
            return None
        pairs = zip(self.baseline, self.accelerated, strict=True)
        return statistics.speedup([a.denoising / b.denoising for a, b in pairs])

    @property
    def now_s(self) -> float:
        """The baseline's latency now, in seconds per image; the stored one where few are timed."""
        is_shown = self.predicted is None or len(self.latest) >= FEWEST
        return self._latency_s(self.latest) if is_shown else self.stored_s

    @property
    def baseline_changed(self) -> bool:
        """Whether the baseline's latency is no longer the stored one."""
        return _differ(self.stored_s, self.now_s, CHANGED)

    @property
    def latest(self) -> tuple[Seconds, ...]:
        """The batches of the baseline that show its latency now."""
        if self.predicted is None or len(self.baseline) >= FEWEST:
            return self.baseline
        return self.recent

    @property
    def drifts(self) -> bool:
        """Whether the baseline's latency differs between the first and the second half."""
        if not self.baseline or not self._latency_matters:
            return False
        return _differ(*self._halves, UNSTEADY)

    def is_precise(self, precision: float) -> bool:
        """Whether the speedup's interval is ±`precision` (a share of it), on a steady machine."""
        return half_width(self.speedup) <= precision and not self.drifts

    @property
    def unsteady(self) -> str | None:
        """In one line, why these timings are unreliable; None on a steady machine."""
        now = self.now_s
        if self.drifts:
            first, second = self._halves
            return f"the baseline took {first:.3g} s per image at first and {second:.3g} s later"
        if self._latency_matters and _differ(self.stored_s, now, UNSTEADY):
            return (
                f"the baseline takes {now:.3g} s per image now, {self.stored_s:.3g} s when stored"
            )
        if not self.few and half_width(self.speedup) > IMPRECISE:
            return f"the speedup is known to ±{half_width(self.speedup):.0%} only"
        return None

    @property
    def baseline_note(self) -> str | None:
        """In one line, that the stored baseline is replaced; None where `unsteady` reports more."""
        now = self.now_s
        reported = self._latency_matters and _differ(self.stored_s, now, UNSTEADY)
        if not self.baseline_changed or self.drifts or reported:
            return None
        return f"the baseline was re-measured: {now:.3g} s per image, {self.stored_s:.3g} s before"

    @property
    def _latency_matters(self) -> bool:
        """Whether other work on the machine lengthens what speedups are computed from."""
        return all(batch.wall is None for batch in self.baseline)

    @property
    def _halves(self) -> tuple[float, float]:
        """The baseline's latency in the first and in the second half, in seconds per image."""
        half = (len(self.baseline) + 1) // 2
        return self._latency_s(self.baseline[:half]), self._latency_s(self.baseline[-half:])

    def _latency_s(self, timed: tuple[Seconds, ...]) -> float:
        """Median seconds per image, by the wall clock."""
        return median(batch.elapsed for batch in timed) / self.batch_size


def _differ(before: float, after: float, share: float) -> bool:
    return max(before, after) > (1 + share) * min(before, after)


@dataclass(frozen=True, kw_only=True)
class PairTimer:
    """Times pairs of batches: `least` of them, and up to `most` until ±`precision` is reached.

    Where the speedup is predicted there is no least number, and ±`IMPRECISE` is enough; where `few`
    pairs are wanted, so are `least` of them on a steady machine.
    """

    # As `BatchGenerator.generate_with`: (setting, numbers, yield_control, pipeline=, purpose=) ->
    # (pictures, seconds).
    generate: Callable[..., tuple[Any, Seconds]]
    pipeline: Any
    device: str
    batches: Sequence[range]  # full batches, timed in turn
    least: int
    most: int
    precision: float  # a share of the speedup
    scatter: Scatter = field(default_factory=Scatter)
    recent: deque[Seconds] = field(default_factory=lambda: deque(maxlen=RECENT))

    def none_yet(
        self, stored_s: float, batch_size: int, predicted: Prediction | None = None
    ) -> PairedTimings:
        """The timings of a setting of which no pair was timed."""
        return PairedTimings(
            stored_s=stored_s,
            batch_size=batch_size,
            predicted=predicted,
            scatter=self.scatter.value,
            recent=tuple(self.recent),
        )

    def pair(
        self,
        setting: Setting,
        numbers: range,
        timings: PairedTimings,
        run_jobs: RunJobs | None = None,
        purposes: tuple[Purpose, Purpose] = (Purpose.TIMING, Purpose.TIMING),
    ) -> tuple[Any, Any, PairedTimings]:
        """Time one pair more; baseline and setting come first alternately.

        On a CPU the steps of the two batches are interleaved, which cancels most of what a shared
        host does to them. On a GPU one batch follows the other: the host runs ahead of the device,
        and waiting before each step would make short steps longer than they are. Nor are steps
        interleaved where the denoiser is compiled: the baseline would need a compiled twin.

        `purposes` are what the baseline's and the setting's pictures are for.

        Returns:
            The pictures of the baseline and of the setting, as `BatchGenerator.generate` returns
            them, and the timings.
        """
        run_jobs = run_jobs or (interleaved if self._interleaves else one_by_one)
        baseline_pipeline = self._twin if run_jobs is interleaved else self.pipeline
        jobs = [
            partial(
                self.generate, Setting(), numbers, pipeline=baseline_pipeline, purpose=purposes[0]
            ),
            partial(self.generate, setting, numbers, purpose=purposes[1]),
        ]
        if len(timings.ratios) % 2:
            (output, accelerated), (before, baseline) = run_jobs(jobs[::-1])
        else:
            (before, baseline), (output, accelerated) = run_jobs(jobs)
        timings = timings.plus(baseline, accelerated)
        predicted = timings.predicted
        self.scatter.add(timings.ratios, None if predicted is None else predicted.claimed)
        self.recent.append(baseline)
        timings = replace(timings, scatter=self.scatter.value, recent=tuple(self.recent))
        return before, output, timings

    def enough(self, timings: PairedTimings) -> bool:
        """Whether the speedup is precise enough, or all pairs that are allowed were timed."""
        count = len(timings.ratios)
        if count >= self.most:
            return True
        if timings.few and count >= self.least and not timings.drifts:
            return True
        if timings.expected is not None:
            return timings.is_precise(max(IMPRECISE, self.precision))
        return count >= self.least and timings.is_precise(self.precision)

    def until_precise(
        self, setting: Setting, timings: PairedTimings, most: int | None = None
    ) -> PairedTimings:
        """Time more pairs until there are enough, or `most` where that is given."""
        while len(timings.ratios) < (most or self.most) and not self.enough(timings):
            numbers = self.batches[len(timings.ratios) % len(self.batches)]
            _, _, timings = self.pair(setting, numbers, timings)
        return timings

    def completed(self, setting: Setting, timings: PairedTimings) -> Iterator[PairedTimings]:
        """Yield the timings with the least number of pairs, and then with enough of them."""
        if timings.expected is None:
            timings = self.until_precise(setting, timings, self.least)
        yield timings
        if not self.enough(timings):
            yield self.until_precise(setting, timings)

    def steps(self, settings: Sequence[Setting]) -> list[Seconds]:
        """The seconds of one batch and of its steps: of the baseline, then of each setting.

        All of them meet the same load, as the two batches of a `pair` do.
        """
        pipelines, run_jobs = [self.pipeline] * (1 + len(settings)), one_by_one
        if self._interleaves:
            others = [twin_of(self.pipeline) for _ in settings[1:]]
            pipelines, run_jobs = [self._twin, self.pipeline, *others], interleaved
        numbers, purpose = self.batches[0], Purpose.TIMED_STEPS
        jobs = [
            partial(self.generate, setting, numbers, pipeline=pipeline, purpose=purpose)
            for setting, pipeline in zip((Setting(), *settings), pipelines, strict=True)
        ]
        seconds = [seconds for _, seconds in run_jobs(jobs)]
        self.recent.append(seconds[0])
        return seconds

    @cached_property
    def _interleaves(self) -> bool:
        return self.device == "cpu" and not is_compiled(called_denoiser(self.pipeline))

    @cached_property
    def _twin(self) -> Any:
        return twin_of(self.pipeline)
