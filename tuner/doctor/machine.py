"""The device, its memory and driver, the processor, and who measures on the device now."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.doctor.finding import Finding, Status
from tuner.formatting import count
from tuner.places import nearest_existing

LEAST_FREE_GB = 0.5  # of disk space, for a database and pictures


def machine() -> Iterator[Finding]:
    """The device that a search would use, and the memory."""
    import psutil
    import torch

    from tuner.loading import device_named
    from tuner.measure.device import contention, describe

    device = device_named(None)
    parts = describe(device)
    text = f"{device}: {', '.join(_part(name, value) for name, value in parts.items())}"
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        text += f"; {total / 2**30:.1f} GiB, {free / 2**30:.1f} free"
        if torch.cuda.device_count() > 1:
            text += f"; {torch.cuda.device_count()} devices: --device chooses another"
    yield Finding(name="device", status=Status.OK, text=text)
    if not device.startswith("cuda") and shutil.which("nvidia-smi"):
        yield _unused_gpu()
    memory = psutil.virtual_memory()
    text = f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} available"
    yield Finding(name="memory", status=Status.OK, text=text)
    crowded = contention(device)
    if crowded is not None:
        yield Finding(name="other work", status=Status.NOTE, text=crowded)
    yield _holder(device)


def disk(name: str, folder: Path, *, needed: bool) -> Finding:
    """The free space where a folder is, or will be."""
    free_gb = shutil.disk_usage(nearest_existing(folder)).free / 1e9
    is_low = needed and free_gb < LEAST_FREE_GB
    return Finding(
        name=name,
        status=Status.MISSING if is_low else Status.OK,
        text=f"{free_gb:.1f} GB free in {folder.absolute()}",
        remedy=f"free at least {LEAST_FREE_GB:g} GB" if is_low else None,
    )


def _part(name: str, value: Any) -> str:
    """A part of the device's description: 'AMD EPYC', '2 threads', 'cuda 13.0'."""
    if name == "threads":
        return count(value, "thread")
    return str(value) if name == "device" else f"{name} {value}"


def _unused_gpu() -> Finding:
    import torch

    built = torch.version.cuda
    reason = f"torch was built for CUDA {built}" if built else "torch was built without CUDA"
    return Finding(
        name="GPU",
        status=Status.NOTE,
        text=f"nvidia-smi is installed, but torch sees no GPU: {reason}",
        remedy="check `nvidia-smi`, and install a torch that fits the driver",
    )


def _holder(device: str) -> Finding:
    from tuner.measure.lock import holder_of

    holder = holder_of(device)
    if holder is None:
        return Finding(name="lock", status=Status.OK, text=f"no run measures on {device}")
    text = f"{holder} is measuring on {device}; another run waits for it"
    return Finding(name="lock", status=Status.NOTE, text=text)
