"""The machine: its properties that change a measurement, and the peak memory on it."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

GENERATION = ("torch", "diffusers", "transformers", "DeepCache", "tomesd", "tgate")
SCORING = ("open_clip_torch", "torchvision", "pillow")  # the last two resize pictures for it

PROCESS = Path("/proc/self")  # Linux's files about this process


def synchronise(device: str) -> None:
    """Wait until the device has finished its queued work."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def model_of(device: str) -> str:
    """The model of a GPU or CPU, such as 'NVIDIA H100 PCIe'."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = _cpu_name() if device == "cpu" else platform.processor()
    return name or platform.machine()


def describe(device: str) -> dict[str, Any]:
    """Model and driver of the device; on a CPU, the number of threads in use."""
    import torch

    if device.startswith("cuda"):
        from torch.utils import collect_env

        return {
            "device": model_of(device),
            "cuda": torch.version.cuda,
            "driver": str(collect_env.get_nvidia_driver_version(collect_env.run)),  # type: ignore[no-untyped-call]
        }
    return {"device": model_of(device), "threads": torch.get_num_threads()}


def contention(device: str) -> str | None:
    """In one line, a warning that torch has more threads than there are idle cores; else None.

    Threads wait for one another after each layer: while another process keeps one of two cores
    busy, two threads may be twenty times slower than one. With several threads, this measures the
    load of the cores for half a second.
    """
    import psutil
    import torch

    threads = torch.get_num_threads()
    if device != "cpu" or threads == 1:
        return None
    used = psutil.cpu_percent(interval=0.5, percpu=True)
    cores = own_cores()
    idle = sum(used[core] < 50 for core in cores if core < len(used))
    if threads <= idle:
        return None
    return (
        f"torch uses {threads} threads on {len(cores)} cores, {len(cores) - idle} of them busy "
        "with other work, so that its threads wait for one another; set "
        f"OMP_NUM_THREADS={max(idle, 1)} for steadier timings"
    )


def own_cores() -> list[int]:
    """The numbers of the cores on which this process may run, in ascending order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def versions() -> dict[str, str]:
    """The versions of the packages that make the pictures and the scores."""
    return {name: version(name) for name in GENERATION + SCORING}


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Peaks in GiB; None where the machine does not report them."""

    device: float | None = None  # allocated by torch on the device, without the scorer's weights
    host: float | None = None  # resident memory of this process, weights and libraries included


class PeakMeter:
    """Measures the peak memory of a ``with`` block; it is in `peak` afterwards.

    On the device it is the most that torch had allocated, less what is not the pipeline's.

    On the host it is Linux's high-water mark of the resident memory, reset at the beginning of the
    block; memory that an allocator has not returned by then counts. Other systems have only a mark
    for the whole life of the process, which says nothing about one trial: None.
    """

    peak = PeakMemory()

    def __init__(self, device: str, others: int = 0) -> None:
        """`others`: bytes on the device that are allocated throughout, but not by the pipeline."""
        self._device, self._others = device, others

    def __enter__(self) -> Self:
        import torch

        if self._device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self._device)
        self._host_reports = _reset_host_peak()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import torch

        on_device = None
        if self._device.startswith("cuda"):
            allocated = torch.cuda.max_memory_allocated(self._device)
            on_device = (allocated - self._others) / 2**30
        self.peak = PeakMemory(device=on_device, host=_host_peak() if self._host_reports else None)


def _reset_host_peak() -> bool:
    """Reset the high-water mark of the resident memory; False where that is impossible."""
    try:
        (PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _host_peak() -> float | None:
    """The high-water mark of the resident memory, in GiB."""
    for line in (PROCESS / "status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20  # kB
    return None


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next(
                (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
                "",
            )
    except OSError:
        return platform.processor()
