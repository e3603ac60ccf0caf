"""Timing one batch: end to end, its denoising alone, and each of its steps.

A batch is timed by wall-clock time, from prompts to pixels on the device, with the device
synchronised before and after: what a user waits for includes what the host does before the first
kernel, which a GPU's own events do not see. Inside, the denoising is timed on a GPU by events, so
that nothing waits, and on a CPU by wall-clock time, as a call returns when it is done. On a CPU a
batch may also let another one run before each of its steps (`tuner.measure.interleave`); its timer
is paused meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tuner.measure import device as machine
from tuner.measure.interleave import YieldControl


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long one batch took."""

    whole: float  # from prompts to pixels
    denoising: float  # from the denoiser's first call to the end of its last
    steps: tuple[float, ...] = ()  # from each call of the denoiser to the next


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

    @contextmanager
    def timed(self) -> Iterator[Callable[[], Seconds]]:
        """For a ``with`` block around one call; its function returns the seconds afterwards.

        That function raises `RuntimeError` where the denoiser was not called in the block.
        """
        called: list[Any] = []  # marks at which the denoiser was called
        reached: list[Any] = []  # marks before another batch ran; the same where none does
        ended: list[Any] = []  # the mark at the end of the last call
        whole: list[float] = []
        paused_s = 0.0

        def before_call(module: Any, args: Any) -> None:
            nonlocal paused_s
            mark = self._mark()
            reached.append(mark)
            if self._yield_control is not None:
                paused_at = time.perf_counter()
                self._yield_control()
                paused_s += time.perf_counter() - paused_at
                mark = self._mark()
            called.append(mark)

        def after_call(module: Any, args: Any, output: Any) -> None:
            ended[:] = [self._mark()]

        def seconds() -> Seconds:
            if not ended:
                raise RuntimeError("the denoiser was not called, so there is nothing to time")
            steps = tuple(map(self._between, called, [*reached[1:], *ended]))
            return Seconds(whole=whole[0], denoising=sum(steps), steps=steps)

        hooks = [
            self._denoiser.register_forward_pre_hook(before_call),
            self._denoiser.register_forward_hook(after_call),
        ]
        try:
            machine.synchronise(self._device)
            start = time.perf_counter()
            yield seconds
            machine.synchronise(self._device)
            whole.append(time.perf_counter() - start - paused_s)
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
