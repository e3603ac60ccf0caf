"""How often the host waits for a GPU while a picture is made."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def waits(make: Callable[[], Any], device: str) -> int:
    """Operations in `make` that hold the host until the GPU has caught up.

    On a CPU nothing waits; there it is the values that are read back from tensors, each of which
    would wait for a GPU.
    """
    return _on_gpu(make) if device.startswith("cuda") else _reads(make)


def _on_gpu(make: Callable[[], Any]) -> int:
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            make()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing CUDA operation" in str(one.message) for one in seen)


def _reads(make: Callable[[], Any]) -> int:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        make()
    return sum(one.count for one in seen.key_averages() if one.key == "aten::_local_scalar_dense")
