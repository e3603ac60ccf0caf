"""Places: what each worker of one host gets of it, a GPU of its own or a share of the cores."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.errors import UsageError
from tuner.formatting import count
from tuner.measure.device import own_cores

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one worker uses of its host; everything that its process may use where empty."""

    gpu: str | None = None  # as CUDA_VISIBLE_DEVICES names it
    cores: tuple[int, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """Variables to be set before the process imports torch."""
        if self.gpu is not None:
            return {VISIBLE: self.gpu}
        if not self.cores:
            return {}
        threads = os.environ.get(THREADS, "")
        most = len(self.cores)
        return {THREADS: str(min(int(threads), most) if threads.isdigit() else most)}

    def take(self) -> None:
        """Restrict this process to the place; to be called before it imports torch."""
        os.environ.update(self.environment)
        if self.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cores)


def places(device: str | None, workers: int | None) -> list[Place]:
    """The places of `workers` workers on this host; one for each device where None.

    Args:
        device: what the studies name: 'cuda', 'cpu', 'mps'; the best of this host when None.
        workers: how many; at most the GPUs or, on a CPU, the cores of this process.

    Raises:
        UsageError: there are fewer devices, or `device` names one of several GPUs.
    """
    from tuner.loading import device_named  # brings torch, which `Place.take` must precede

    kind = device_named(device).partition(":")[0]
    if kind == "cuda":
        if device is not None and ":" in device:
            raise UsageError(
                f"device is {device!r}, but each worker gets a GPU of its own; set it to 'cuda'"
            )
        return [Place(gpu=name) for name in _chosen(_gpus(), workers, "GPU", "GPUs")]
    if kind == "cpu":
        return [Place(cores=share) for share in _core_shares(workers)]
    _chosen([kind], workers, "device", "devices")
    return [Place()]


def _gpus() -> list[str]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    number = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[:number] if len(named) >= number else [str(index) for index in range(number)]


def _core_shares(workers: int | None) -> list[tuple[int, ...]]:
    """Disjoint shares of the cores, all of the same size: latencies depend on it."""
    cores = own_cores()
    if workers is None:
        return [tuple(cores)]  # the CPU is one device
    _chosen(cores, workers, "core", "cores")
    size = len(cores) // workers
    return [tuple(cores[size * index : size * (index + 1)]) for index in range(workers)]


def _chosen(
    devices: Sequence[str] | Sequence[int], workers: int | None, one: str, many: str
) -> list[str]:
    """The first `workers` devices; all where None."""
    if workers is not None and workers > len(devices):
        raise UsageError(
            f"{workers} workers need {workers} {many}, but this process may use only "
            f"{count(len(devices), one, many)}; each worker measures on a {one} of its own"
        )
    return [str(device) for device in devices[:workers]]
