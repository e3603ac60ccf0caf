"""Loading a pipeline from a hub or a folder, and telling one set of weights from another."""

import hashlib
import re
from pathlib import Path
from typing import Any

from tuner import registry
from tuner.errors import UsageError
from tuner.models import Model
from tuner.schedulers import set_scheduler

DTYPES = ("float32", "float16", "bfloat16")


def model_named(name: str) -> Model:
    """The known model of this name; a `UsageError` lists the known ones."""
    found: Model = registry.get("models", name)
    return found


def load(
    model: str,
    *,
    scheduler: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    source: str | None = None,
) -> Any:
    """Load a diffusers pipeline, ready to generate.

    Args:
        model: a known model ('SDXL'), or a hub id or folder of any pipeline.
        scheduler: 'DDIM', 'DPM-Solver++' or 'UniPC'; the model's own when None.
        device: 'cpu', 'cuda', 'cuda:1', 'mps'; the best one present when None.
        dtype: 'float32', 'float16' or 'bfloat16'; by default what the device is good at.
        source: a hub id or folder whose weights replace the known model's.

    Raises:
        UsageError: unknown names, a folder that holds no pipeline, a hub out of reach.
    """
    import torch

    device = device_named(device)
    known = registry.components("models")
    named = next(
        (m for m in known.values() if registry.plain(m.name) == registry.plain(model)), None
    )
    if named is None and "/" not in model and not Path(model).is_dir():
        named = model_named(model)  # raises, with the names that would work
    place = source or (named.source if named else model)
    dtypes = (named or next(iter(known.values()))).dtype
    precision = getattr(torch, dtype_named(dtype or dtypes[torch.device(device).type]))
    pipeline = _from_pretrained(place, named.pipeline if named else "DiffusionPipeline", precision)
    check_captions(type(pipeline).__name__)  # of a folder's or a hub's own choice
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    if scheduler is not None:
        set_scheduler(pipeline, scheduler)
    return pipeline


def device_named(text: str | None) -> str:
    """A device that is present; the best one when None."""
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present = [f"cuda:{index}" for index in range(torch.cuda.device_count())] + present
    if text is None:
        return present[0]
    if text == "cuda" and present[0] == "cuda:0":
        return "cuda:0"
    if text not in present:
        raise UsageError(f"unknown device {text!r}; present here: {', '.join(present)}")
    return text


def dtype_named(text: str) -> str:
    """One of the known precisions, also by torch's short names."""
    short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "half": "float16"}
    name = short.get(text, text)
    if name not in DTYPES:
        raise UsageError(f"unknown dtype {text!r}; known: {', '.join(DTYPES)}")
    return name


_IP_ADAPTER = re.compile(r"^encoder_hid_proj\.|\.to_[kv]_ip\.")  # its layers in a denoiser


def weighed(pipeline: Any) -> dict[str, Any]:
    """The parts whose weights count, by name; the safety checker draws nothing and does not."""
    import torch

    return {
        name: module
        for name, module in sorted(pipeline.components.items())
        if isinstance(module, torch.nn.Module) and name != "safety_checker"
    }


def fingerprint(pipeline: Any, dtype: str | None = None, *, ip_adapter: bool = True) -> str:
    """A digest of the weights, the same on every device; reads a sample of every tensor.

    Args:
        pipeline: any.
        dtype: as if the weights had been loaded in this precision, which is not above their own.
        ip_adapter: whether what an IP-Adapter adds counts, which is an encoder of images and layers
            in the denoiser.

    Raises:
        UsageError: the weights are not there to be read.
    """
    import torch

    digest = hashlib.sha256()
    for name, module in weighed(pipeline).items():
        if name == "image_encoder" and not ip_adapter:
            continue
        for key, tensor in module.state_dict().items():
            if not ip_adapter and _IP_ADAPTER.search(key):
                continue
            if tensor.is_meta:
                raise UsageError(
                    f"the weights of the {name} are offloaded one by one, and cannot be compared "
                    "with a study's; apply it first and offload then"
                )
            key = key.replace("_orig_mod.", "")  # torch.compile's
            flat = tensor.detach().flatten()
            sample = flat[:: max(1, flat.numel() // 32)]
            if dtype is not None and sample.is_floating_point() and not _kept(module, key, dtype):
                sample = sample.to(getattr(torch, dtype))
            digest.update(f"{name}.{key}{tuple(tensor.shape)}".encode())
            digest.update(sample.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_captions(class_name: str) -> None:
    """Refuse PixArt's pipelines where a package is missing that they clean captions with.

    Without it they leave captions as they are, and so draw other pictures than elsewhere.
    """
    from diffusers.utils import is_bs4_available, is_ftfy_available

    there = {"beautifulsoup4": is_bs4_available(), "ftfy": is_ftfy_available()}
    missing = [name for name, found in there.items() if not found]
    if class_name.startswith("PixArt") and missing:
        raise UsageError(
            f"{class_name} cleans captions with {' and '.join(missing)}, which is not installed; "
            "pip install 'diffusion-tuner[pixart]'"
        )


def _kept(module: Any, key: str, dtype: str) -> bool:
    """Whether loading in half precision leaves this one in float32, as T5 wants of some."""
    names = getattr(module, "_keep_in_fp32_modules", None) or ()
    return dtype == "float16" and any(part in names for part in key.split("."))


def _from_pretrained(place: str, class_name: str, precision: Any) -> Any:
    import diffusers
    import torch

    check_captions(class_name)
    kind = getattr(diffusers, class_name)
    options: dict[str, Any] = {"dtype": precision}
    if class_name == "StableDiffusionPipeline":
        # The safety checker is no part of what is measured, nor of the pictures that are scored.
        options |= {"safety_checker": None, "requires_safety_checker": False}
    elif class_name == "StableDiffusionXLPipeline":
        options |= {"add_watermarker": False}
    folder = Path(place)
    if folder.is_dir() and not (folder / "model_index.json").is_file():
        raise UsageError(f"{place} is no diffusers pipeline: it has no model_index.json")
    half = precision is not torch.float32 and not folder.is_dir()
    # Hubs often keep half-precision files beside the others; they are half the download.
    variants: list[str | None] = ["fp16", None] if half else [None]
    problem: Exception | None = None
    for variant in variants:
        try:
            return kind.from_pretrained(place, variant=variant, **options)
        except (OSError, ValueError) as error:
            problem = error
    reason = str(problem).strip().splitlines()[0]
    raise UsageError(
        f"cannot load {place!r}: {reason}; give --model a folder that holds the pipeline, or "
        "connect to the hub (HF_ENDPOINT, HF_TOKEN and HF_HOME are read)"
    ) from problem
