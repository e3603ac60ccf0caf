"""How busy a GPU is, as the driver reports it once a second."""

from statistics import mean
from threading import Event, Thread
from types import TracebackType
from typing import Self

from tuner.measure.gpu_use import utilisation

EVERY_S = 1.0


class Utilisation:
    """Samples a GPU's utilisation in a thread during a ``with`` block.

    The driver's figure is the share of the time in which at least one kernel ran.
    """

    def __init__(self, device: str) -> None:
        """`device`: as torch names it; nothing is sampled unless it is a CUDA device."""
        self._device = device
        self._samples: list[float] = []
        self._ended = Event()
        self._thread = Thread(target=self._sample, daemon=True)

    @property
    def mean(self) -> float | None:
        """The mean of the samples, between 0 and 1; None if there are none."""
        return mean(self._samples) if self._samples else None

    def restart(self) -> None:
        """Discard the samples so far."""
        self._samples.clear()

    def __enter__(self) -> Self:
        if self._is_sampled:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._is_sampled:
            self._thread.join()

    @property
    def _is_sampled(self) -> bool:
        return self._device.startswith("cuda")

    def _sample(self) -> None:
        while not self._ended.wait(EVERY_S):
            sample = utilisation(self._device)
            if sample is not None:
                self._samples.append(sample)
