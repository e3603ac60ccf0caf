"""What the machine is, and what of it changes a measurement."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

GENERATION = ("torch", "diffusers", "transformers", "DeepCache", "tomesd", "tgate")
SCORING = ("open_clip_torch", "torchvision", "pillow")  # the latter two resize pictures for it


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


def reset_peak_memory(device: str) -> None:
    """Forget earlier peaks, so that the next reading is of what runs from here on."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_gib(device: str) -> float | None:
    """Peak memory on the device since the last reset; None where the device does not tell."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**30
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
