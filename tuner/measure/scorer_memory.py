"""The memory that the scorer takes on the pipeline's device: the metric and the extra metrics."""

from collections.abc import Iterable
from typing import Any

from tuner.measure.extra_metrics import ExtraMetric

LEAST_REPORTED = 2**30 // 10  # bytes


def scorer_bytes(metric: Any, extra_metrics: Iterable[ExtraMetric], device: str) -> int:
    """Bytes of the metrics' weights on a device.

    Counts the parameters and buffers of the modules that are attributes of a metric; those of a
    metric that both gives the score and is an extra one count once.
    """
    import torch

    modules = (
        value
        for loaded in (metric, *(extra.metric for extra in extra_metrics))
        for value in vars(loaded).values()
        if isinstance(value, torch.nn.Module)
    )
    tensors = {
        id(tensor): tensor
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
        if tensor.device == torch.device(device)
    }
    return sum(tensor.nbytes for tensor in tensors.values())


def memory_notice(scorer: int, device: str) -> str | None:
    """A line for the user about the scorer's memory on a GPU; None where it takes hardly any.

    Args:
        scorer: bytes of its weights on the pipeline's device.
        device: the pipeline's device.
    """
    if not device.startswith("cuda") or scorer < LEAST_REPORTED:
        return None
    return f"scorer: {scorer / 2**30:.1f} GiB of the device's memory; scorer_device = cpu frees it"
