"""The clock: seconds of a batch, baseline and setting by turns, and whether the machine held still.

A batch is timed by the wall, from prompts to pixels on the device, with the device synchronised at
both ends: what a user waits for includes what the host does before the first kernel, which a GPU's
own events do not see. Of the denoising inside, events mark begin and end on a GPU, so that nothing
waits; on a CPU, where a call returns when it is done, the wall does. There a batch may also hand
over to another before each of its steps (`tuner.measure.interleave`); then the watch stands still.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from tuner.measure import device as machine
from tuner.measure import statistics
from tuner.measure.statistics import Estimate

MOVED = 0.25  # a baseline that is so much faster or slower than the kept one takes its place
SHAKEN = 0.5  # and one that moved so far says that something else is at work here
ROUGH = 0.05  # a speedup that is not known to this share is not one to build upon


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """What one batch took."""

    whole: float  # from prompts to pixels
    denoising: float  # from the denoiser's first call to the end of its last
    steps: tuple[float, ...] = ()  # from each call of the denoiser to the next; together as long


class Stopwatch:
    """Times calls of a pipeline; hooks on its denoiser see when denoising begins and ends."""

    def __init__(
        self, denoiser: Any, device: str, hand_over: Callable[[], None] | None = None
    ) -> None:
        """`hand_over` lets another batch go on for a while, before each call of the denoiser."""
        self._denoiser = denoiser
        self._device = device
        self._hand_over = hand_over
        self._mark, self._between = _marks(device)

    @contextmanager
    def timed(self) -> Iterator[Callable[[], Seconds]]:
        """For a ``with`` block around one call; afterwards, what is given back tells its seconds.

        Raises `RuntimeError` when asked of a block in which the denoiser was not called.
        """
        begun: list[Any] = []  # at each call of the denoiser
        left: list[Any] = []  # and before another batch had its turn
        end: list[Any] = []  # of the last call
        total: list[float] = []
        away = 0.0

        def begins(module: Any, args: Any) -> None:
            nonlocal away
            mark = self._mark()
            left.append(mark)
            if self._hand_over is not None:
                gone = time.perf_counter()
                self._hand_over()
                away += time.perf_counter() - gone
                mark = self._mark()
            begun.append(mark)

        def ends(module: Any, args: Any, output: Any) -> None:
            end[:] = [self._mark()]

        def seconds() -> Seconds:
            if not end:
                raise RuntimeError("the denoiser was not called, so there is nothing to time")
            steps = tuple(map(self._between, begun, [*left[1:], *end]))
            return Seconds(whole=total[0], denoising=sum(steps), steps=steps)

        hooks = [
            self._denoiser.register_forward_pre_hook(begins),
            self._denoiser.register_forward_hook(ends),
        ]
        try:
            machine.synchronise(self._device)
            start = time.perf_counter()
            yield seconds
            machine.synchronise(self._device)
            total.append(time.perf_counter() - start - away)
        finally:
            for hook in hooks:
                hook.remove()


def _marks(device: str) -> tuple[Callable[[], Any], Callable[[Any, Any], float]]:
    """How to mark a moment in the device's work, and the seconds between two such marks."""
    if not device.startswith("cuda"):
        return time.perf_counter, lambda begin, end: end - begin
    import torch

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(device))
        return event

    return mark, lambda begin, end: begin.elapsed_time(end) / 1000


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Batches of the baseline and of a setting, timed by turns; the more, the surer."""

    kept_s: float  # the baseline's latency as it was kept: seconds per image
    batch_size: int
    without: tuple[Seconds, ...] = ()
    accelerated: tuple[Seconds, ...] = ()

    def plus(self, without: Seconds, accelerated: Seconds) -> "Turns":
        """With one pair more."""
        return Turns(
            kept_s=self.kept_s,
            batch_size=self.batch_size,
            without=(*self.without, without),
            accelerated=(*self.accelerated, accelerated),
        )

    @property
    def ratios(self) -> list[float]:
        """How many times as long the baseline took, pair by pair."""
        return [a.whole / b.whole for a, b in zip(self.without, self.accelerated, strict=True)]

    @property
    def speedup(self) -> Estimate:
        """End to end."""
        return statistics.speedup(self.ratios)

    @property
    def denoising(self) -> Estimate:
        """The speedup of denoising alone."""
        pairs = zip(self.without, self.accelerated, strict=True)
        return statistics.speedup([a.denoising / b.denoising for a, b in pairs])

    @property
    def has_changed(self) -> bool:
        """Whether the baseline is no longer what it was when it was kept."""
        return _moved(self.kept_s, self._now(self.without), MOVED)

    @property
    def drifts(self) -> bool:
        """Whether the baseline of one half of the turns is another than that of the other."""
        return _moved(*self._halves, SHAKEN)

    def enough(self, precision: float) -> bool:
        """Whether the speedup is known to that share of itself, on a machine that holds still."""
        return _rough(self.speedup) <= precision and not self.drifts

    @property
    def unsteady(self) -> str | None:
        """In one line, why these figures are not to be relied upon; None on a steady machine."""
        now = self._now(self.without)
        if self.drifts:
            first, second = self._halves
            return f"the baseline took {first:.3g} s per image at first and {second:.3g} s later"
        if _moved(self.kept_s, now, SHAKEN):
            return f"the baseline takes {now:.3g} s per image now, {self.kept_s:.3g} s before"
        if _rough(self.speedup) > ROUGH:
            return f"the speedup is known to ±{_rough(self.speedup):.0%} only"
        return None

    @property
    def renewed(self) -> str | None:
        """In one line, that the kept baseline no longer counts; None where `unsteady` says more."""
        now = self._now(self.without)
        if not self.has_changed or self.drifts or _moved(self.kept_s, now, SHAKEN):
            return None
        return f"the baseline was measured anew: {now:.3g} s per image, {self.kept_s:.3g} s before"

    @property
    def _halves(self) -> tuple[float, float]:
        half = (len(self.without) + 1) // 2
        return self._now(self.without[:half]), self._now(self.without[-half:])

    def _now(self, timed: tuple[Seconds, ...]) -> float:
        return median(one.whole for one in timed) / self.batch_size


def _moved(before: float, after: float, share: float) -> bool:
    return max(before, after) > (1 + share) * min(before, after)


def _rough(found: Estimate) -> float:
    """Half the interval's width, as a share of the figure."""
    return (found.high - found.low) / 2 / found.value
