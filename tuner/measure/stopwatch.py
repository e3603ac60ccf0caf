"""Timing one batch: end to end, its denoising alone, and each of its steps.

A batch is timed by wall-clock time, from prompts to pixels on the device, with the device
synchronised before and after: what a user waits for includes what the host does before the first
kernel, which a GPU's own events do not see. Inside, the denoising is timed on a GPU by events, so
that nothing waits, and on a CPU by wall-clock time, as a call returns when it is done. On a CPU a
batch may also let another one run before each of its steps (`tuner.measure.interleave`); its timer
is paused meanwhile.

Where torch computes in one thread of a CPU, that thread's own time is read beside the wall-clock
time: other processes that use the same core lengthen only the latter. Speedups are ratios of the
former, and scatter about half as much on a busy machine (`bench.speed.turns`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tuner.measure import device as machine
from tuner.measure.gpu_use import GpuUse
from tuner.measure.interleave import YieldControl


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long one batch took."""

    whole: float  # from prompts to pixels
    denoising: float  # from the denoiser's first call to the end of its last
    steps: tuple[float, ...] = ()  # from each call of the denoiser to the next
    # From prompts to pixels by the wall clock, where the others are times of one thread of a CPU.
    wall: float | None = None
    busy: float | None = None  # the share of the denoising in which a GPU computed, if it is known

    @property
    def elapsed(self) -> float:
        """From prompts to pixels, by the wall clock."""
        return self.whole if self.wall is None else self.wall


class Stopwatch:
    """Times calls of a pipeline; hooks on its denoiser see when denoising begins and ends."""

    def __init__(
        self, denoiser: Any, device: str, yield_control: YieldControl | None = None
    ) -> None:
        """`yield_control` is called before each call of the denoiser, with the timer paused."""
        self._denoiser = denoiser
        self._device = device
        self._yield_control = yield_control
        self._mark, self._between = _marks(device)
        self._clock = _clock(device)

    @contextmanager
    def timed(self) -> Iterator[Callable[[], Seconds]]:
        """For a ``with`` block around one call; its function returns the seconds afterwards.

        That function raises `RuntimeError` where the denoiser was not called in the block.
        """
        called: list[Any] = []  # marks at which the denoiser was called
        reached: list[Any] = []  # marks before another batch ran; the same where none does
        ended: list[Any] = []  # the mark at the end of the last call
        use, timer = GpuUse(self._device), _Timer(self._clock)

        def before_call(module: Any, args: Any) -> None:
            use.sample()
            mark = self._mark()
            reached.append(mark)
            if self._yield_control is not None:
                machine.synchronise(self._device)  # this batch's work is not to overlap the other's
                with timer.paused():
                    self._yield_control()
                mark = self._mark()
            called.append(mark)

        def after_call(module: Any, args: Any, output: Any) -> None:
            ended[:] = [self._mark()]

        def seconds() -> Seconds:
            if not ended:
                raise RuntimeError("the denoiser was not called, so there is nothing to time")
            steps = tuple(map(self._between, called, [*reached[1:], *ended]))
            return Seconds(
                whole=timer.seconds,
                denoising=sum(steps),
                steps=steps,
                wall=None if self._clock is time.perf_counter else timer.wall,
                busy=use.share,
            )

        hooks = [
            self._denoiser.register_forward_pre_hook(before_call),
            self._denoiser.register_forward_hook(after_call),
        ]
        try:
            machine.synchronise(self._device)
            with timer.running():
                yield seconds
                machine.synchronise(self._device)
        finally:
            for hook in hooks:
                hook.remove()


class _Timer:
    """Adds up the seconds of one clock, and those of the wall clock, in which it runs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seconds = self.wall = 0.0

    @contextmanager
    def running(self, sign: int = 1) -> Iterator[None]:
        """For a ``with`` block whose seconds are added; with a `sign` of -1, taken off."""
        start, start_wall = self._clock(), time.perf_counter()
        yield
        self.seconds += sign * (self._clock() - start)
        self.wall += sign * (time.perf_counter() - start_wall)

    def paused(self) -> AbstractContextManager[None]:
        """For a ``with`` block, while the timer runs, whose seconds are taken off."""
        return self.running(sign=-1)


def _clock(device: str) -> Callable[[], float]:
    """What batches are compared by: the thread's own time where it computes everything itself."""
    import torch

    alone = device == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time.perf_counter


def _marks(device: str) -> tuple[Callable[[], Any], Callable[[Any, Any], float]]:
    """How to mark a moment in the device's work, and the seconds between two such marks."""
    if not device.startswith("cuda"):
        return _clock(device), lambda begin, end: end - begin
    import torch

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(device))
        return event

    return mark, lambda begin, end: begin.elapsed_time(end) / 1000
