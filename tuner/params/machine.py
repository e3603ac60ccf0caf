"""How the machine that applies a study differs from the one that measured it."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

from tuner.accelerators import Accelerator
from tuner.errors import UsageError
from tuner.loading import check_captions
from tuner.measure.device import model_of

ALWAYS = ("torch", "diffusers", "transformers")  # packages that every pipeline uses


def machine_changes(
    evaluation: Mapping[str, Any],
    versions: Mapping[str, str],
    accelerators: Iterable[Accelerator],
    pipeline: Any,
) -> list[str]:
    """What has changed since a study was measured: ['device A100 -> H100', 'torch 2.14 -> 2.15'].

    What the file does not name is not compared.

    Args:
        evaluation: the study's conditions in the file.
        versions: its packages with their versions.
        accelerators: of its setting; the packages of others are not compared.
        pipeline: the diffusers pipeline, on the device that it will run on.
    """
    before = {"device": evaluation.get("device")} | {
        name: versions.get(name)
        for name in (*ALWAYS, *(name for part in accelerators for name in part.packages))
    }
    now = {
        name: model_of(_device(pipeline)) if name == "device" else _installed(name)
        for name in before
    }
    changed = [
        f"{name} {old} -> {now[name]}"
        for name, old in before.items()
        if old is not None and old != now[name]
    ]
    try:
        check_captions(type(pipeline).__name__)
    except UsageError as error:
        changed.append(str(error))
    return changed


def _device(pipeline: Any) -> str:
    """Where the denoiser computes, also while its weights are offloaded."""
    return str(getattr(pipeline, "_execution_device", pipeline.device))


@cache
def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
