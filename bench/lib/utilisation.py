"""How busy a GPU is, as the driver reports it once a second."""

import subprocess
from statistics import mean
from threading import Event, Thread
from types import TracebackType
from typing import Self

import torch

EVERY_S = 1.0
QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")


class Utilisation:
    """Samples a GPU's utilisation in a thread during a ``with`` block.

    The driver's figure is the share of the time in which at least one kernel ran.
    """

    def __init__(self, device: str) -> None:
        """`device`: as torch names it; nothing is sampled unless it is a CUDA device."""
        self._query = query(device)
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
        if self._query is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._query is not None:
            self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(EVERY_S):
            sample = None if self._query is None else sampled(self._query)
            if sample is not None:
                self._samples.append(sample)


def query(device: str) -> list[str] | None:
    """The command that prints the utilisation of a CUDA device in per cent; else None."""
    if not device.startswith("cuda"):
        return None
    # By its UUID: the driver's numbers differ from torch's where CUDA_VISIBLE_DEVICES is set.
    return [*QUERY, f"--id=GPU-{torch.cuda.get_device_properties(device).uuid}"]


def sampled(command: list[str]) -> float | None:
    """What the command prints, between 0 and 1; None where the driver does not report it."""
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
        return float(printed) / 100
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
