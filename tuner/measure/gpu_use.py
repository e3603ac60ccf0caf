"""How much of the time a GPU computes, as its driver reports it."""

import time
from functools import cache
from statistics import mean
from typing import Any

EVERY_S = 0.2  # between two samples; the driver's figure is a mean over about as long
SETTLED_S = 0.5  # from the beginning of a batch: what the driver reports before is of the past
BUSY = 0.8  # below this share, a GPU is said to wait for the host


class GpuUse:
    """Samples the utilisation of one GPU: the share of time in which at least one kernel ran."""

    def __init__(self, device: str) -> None:
        """`device`: as torch names it; nothing is sampled unless it is a CUDA device."""
        self._device = device
        self._samples: list[float] = []
        self._due = time.perf_counter() + SETTLED_S

    @property
    def share(self) -> float | None:
        """The mean of the samples, between 0 and 1; None if there are none."""
        return mean(self._samples) if self._samples else None

    def sample(self) -> None:
        """Ask the driver, unless it was asked just before."""
        now = time.perf_counter()
        if now < self._due or not self._device.startswith("cuda"):
            return
        self._due = now + EVERY_S
        share = utilisation(self._device)
        if share is not None:
            self._samples.append(share)


def waiting_notice(busy: float | None) -> str | None:
    """In one line, that a GPU waits for the host; None where it computes most of the time."""
    if busy is None or busy >= BUSY:
        return None
    return (
        f"the GPU computes only {busy:.0%} of the time and waits for Python in the rest: a larger "
        "batch, or a compiled pipeline, makes better use of it"
    )


def utilisation(device: str) -> float | None:
    """The share of time in which at least one kernel ran lately, between 0 and 1.

    None where the driver does not report it. `device` is a CUDA device as torch names it.
    """
    handle = _handle(device)
    if handle is None:
        return None
    import pynvml

    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except pynvml.NVMLError:
        return None


@cache
def _handle(device: str) -> Any:
    """NVIDIA's management library's handle of a device; None where that library is missing."""
    import torch

    try:
        import pynvml

        pynvml.nvmlInit()
        # By its UUID: the driver's numbers differ from torch's where CUDA_VISIBLE_DEVICES is set.
        uuid = torch.cuda.get_device_properties(device).uuid
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except Exception:  # no library, no driver, or a container that hides it
        return None
