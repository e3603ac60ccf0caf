"""What the machine is, and what of it changes a measurement."""

import platform
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
