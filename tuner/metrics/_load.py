"""Helpers of metrics: a digest of weights, one-line errors, and pictures as tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tuner.errors import UsageError
from tuner.loading import fingerprint


@dataclass(frozen=True)
class _Parts:
    """A model in the form of a pipeline, whose modules are its `components`."""

    components: dict[str, Any]


def weights_of(model: Any) -> str:
    """A digest of a metric's weights, computed like a pipeline's; see `fingerprint`."""
    return fingerprint(_Parts({"metric": model}))


@contextmanager
def loading(what: str, remedy: str) -> Iterator[None]:
    """Turn any error while a metric is loaded into a `UsageError` of one line.

    Args:
        what: what is loaded, for the message.
        remedy: what the user can do about it; the end of the message.
    """
    try:
        yield
    except Exception as error:  # packages, hubs, configurations and weights raise many kinds
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"cannot load {what}: {reason[0]}; {remedy}") from error


def tensor(images: list[Any], device: str) -> Any:
    """Pictures of one size as a tensor of shape (count, 3, height, width) in [0, 1]."""
    import numpy as np
    import torch

    array = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(array).to(device).permute(0, 3, 1, 2).float() / 255
