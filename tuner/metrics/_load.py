"""Helpers of metrics: identities, precision, one-line errors, and pictures as tensors."""

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


def dtype_on(device: str) -> Any:
    """The torch dtype in which a large network computes on a device.

    On CUDA float16, which takes half the memory and is several times as fast; float32 elsewhere. A
    metric compares the network's outputs in float32 on every device.
    """
    import torch

    return torch.float16 if device.startswith("cuda") else torch.float32


def identity_of(name: str, network: Any, dtype: Any) -> str:
    """The identity of a metric: its name, a digest of its weights, and the precision.

    Args:
        name: the metric's name, and whatever else tells its variants apart.
        network: the metric's network before it is converted to `dtype`, so that the digest is the
            same on every device.
        dtype: the torch dtype in which it computes. Float32 is not named, because scores of
            versions that had only float32 are stored under such identities.
    """
    precision = str(dtype).removeprefix("torch.")
    return f"{name} {weights_of(network)}" + (f" {precision}" if precision != "float32" else "")


@contextmanager
def loading(what: str, remedy: str) -> Iterator[None]:
    """Turn any error while a metric is loaded into a `UsageError` of one line.

    Args:
        what: what is loaded, for the message.
        remedy: what the user can do about it; the end of the message. Where the device is out of
            memory, the message names another device instead.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise UsageError(
            f"cannot load {what}: the device is out of memory; scorer_device = cpu uses the host's"
        ) from None
    except Exception as error:  # packages, hubs, configurations and weights raise many kinds
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"cannot load {what}: {reason[0]}; {remedy}") from error


def tensor(images: list[Any], device: str) -> Any:
    """Pictures of one size as a tensor of shape (count, 3, height, width) in [0, 1]."""
    import numpy as np
    import torch

    array = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(array).to(device).permute(0, 3, 1, 2).float() / 255
