"""How often the host waits for a GPU while it runs a function."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def waits(make: Callable[[], Any], device: str) -> int:
    """The number of operations in `make` at which the host waits for the GPU.

    On a CPU, the number of values that are read from tensors: each would wait for a GPU.
    """
    return _on_gpu(make) if device.startswith("cuda") else _reads(make)


def _on_gpu(make: Callable[[], Any]) -> int:
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            make()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum(
        "called a synchronizing CUDA operation" in str(warning.message) for warning in caught
    )


def _reads(make: Callable[[], Any]) -> int:
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        make()
    return sum(
        event.count for event in profiler.key_averages() if event.key == "aten::_local_scalar_dense"
    )
