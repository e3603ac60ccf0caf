"""What metrics share: telling weights apart, pictures as tensors, and one-line errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tuner.errors import UsageError
from tuner.loading import fingerprint


@dataclass(frozen=True)
class _Parts:
    """Named as a pipeline names its parts."""

    components: dict[str, Any]


def weights_of(model: Any) -> str:
    """A digest of a metric's weights, made as a pipeline's is."""
    return fingerprint(_Parts({"metric": model}))


@contextmanager
def loading(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever goes wrong with a metric's packages, hub and weights into one line."""
    try:
        yield
    except Exception as error:  # import, hub, config and weight errors come in many kinds
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"cannot load {what}: {reason[0]}; {remedy}") from error


def tensor(images: list[Any], device: str) -> Any:
    """Pictures of one size as a tensor of shape (count, 3, height, width) in [0, 1]."""
    import numpy as np
    import torch

    array = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(array).to(device).permute(0, 3, 1, 2).float() / 255
