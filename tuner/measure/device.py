"""What the machine is, and what of it changes a measurement."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

GENERATION = ("torch", "diffusers", "transformers", "DeepCache", "tomesd", "tgate")
SCORING = ("open_clip_torch", "torchvision", "pillow")  # the latter two resize pictures for it

PROCESS = Path("/proc/self")  # where Linux tells of this process


def synchronise(device: str) -> None:
    """Wait until the device has done all that was asked of it."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def describe(device: str) -> dict[str, Any]:
    """Name and driver of the device; on a CPU, the number of threads in use."""
    import torch

    if device.startswith("cuda"):
        from torch.utils import collect_env

        return {
            "device": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "driver": str(collect_env.get_nvidia_driver_version(collect_env.run)),  # type: ignore[no-untyped-call]
        }
    name = _cpu_name() if device == "cpu" else platform.processor()
    return {"device": name or platform.machine(), "threads": torch.get_num_threads()}


def contention(device: str) -> str | None:
    """In one line, that torch has more threads than there are idle cores; None where it has not.

    Threads wait for one another after each layer: beside one busy neighbour two threads on two
    cores may be twenty times slower than one. Looks for half a second where there are several.
    """
    import psutil
    import torch

    threads = torch.get_num_threads()
    if device != "cpu" or threads == 1:
        return None
    used = psutil.cpu_percent(interval=0.5, percpu=True)
    cores = _own_cores()
    idle = sum(used[core] < 50 for core in cores if core < len(used))
    if threads <= idle:
        return None
    return (
        f"{threads} threads on {len(cores)} cores, of which {len(cores) - idle} are busy with "
        f"other work: they would wait for one another; OMP_NUM_THREADS={max(idle, 1)} is steadier"
    )


def _own_cores() -> Sequence[int]:
    """The cores on which this process may run."""
    import psutil

    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(psutil.cpu_count() or 1)


def versions() -> dict[str, str]:
    """The versions of the packages that make the pictures and the scores."""
    return {name: version(name) for name in GENERATION + SCORING}


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Peaks in GiB; None where the machine does not tell."""

    device: float | None = None  # allocated by torch on the device
    host: float | None = None  # resident memory of this process: weights, libraries and all


class PeakMeter:
    """The peak memory of a ``with`` block, in `found` afterwards.

    On the host it is Linux's high-water mark of the resident memory, set back to what is resident
    at the block's beginning; what an allocator has not given back by then counts. Elsewhere there
    is only a mark of the process's whole life, which says nothing of one trial: None.
    """

    found = PeakMemory()

    def __init__(self, device: str) -> None:
        self._device = device

    def __enter__(self) -> Self:
        import torch

        if self._device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self._device)
        self._host_tells = _reset_host_peak()
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
            on_device = torch.cuda.max_memory_allocated(self._device) / 2**30
        self.found = PeakMemory(device=on_device, host=_host_peak() if self._host_tells else None)


def _reset_host_peak() -> bool:
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
