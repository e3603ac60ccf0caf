"""Loading a pipeline from a hub or a folder, and a digest of its weights."""

import hashlib
import re
from pathlib import Path
from typing import Any

from tuner import registry
from tuner.adapters import adapters_digest
from tuner.errors import UsageError
from tuner.family import check_components
from tuner.given_files import is_folder
from tuner.models import Model
from tuner.schedulers import set_scheduler

DTYPES = ("float32", "float16", "bfloat16")


def model_named(name: str) -> Model:
    """The known model of this name; otherwise a `UsageError` that lists the known models."""
    model: Model = registry.get("models", name)
    return model


def load(
    model: str,
    *,
    scheduler: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    source: str | None = None,
    allow_pickle: bool = False,
) -> Any:
    """Load a diffusers pipeline, ready to generate.

    Code that a folder or a hub has beside the weights is never run.

    Args:
        model: the name of a known model ('SDXL'), or a hub id or folder of any pipeline; with
            `source`, a known model of the same pipeline class.
        scheduler: 'DDIM', 'Euler a', 'DPM++ 2M Karras', … (an unknown name lists all of them); the
            model's own when None.
        device: 'cpu', 'cuda', 'cuda:1', 'mps'; a GPU if there is one when None.
        dtype: 'float32', 'float16' or 'bfloat16'; the model's default for the device when None.
        source: a hub id or folder whose weights replace the known model's.
        allow_pickle: whether weights are also loaded from pickles (.bin), which only people whom
            you trust should have written; otherwise from safetensors alone.

    Raises:
        UsageError: a name is unknown, a folder has no pipeline or no safetensors, or the hub
            cannot be reached.
    """
    import torch

    device = device_named(device)
    known = registry.components("models")
    named = next(
        (m for m in known.values() if registry.plain(m.name) == registry.plain(model)), None
    )
    if named is None and source is None and "/" not in model and not is_folder(model):
        named = model_named(model)  # raises an error that lists the known names
    place = source or (named.source if named else model)  # a hub id or a folder
    dtypes = (named or next(iter(known.values()))).dtype
    precision = getattr(torch, dtype_named(dtype or dtypes[torch.device(device).type]))
    kind = named.pipeline if named else "DiffusionPipeline"
    pipeline = _from_pretrained(place, kind, precision, allow_pickle)
    check_captions(type(pipeline).__name__)  # a folder or hub may name another class
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    if scheduler is not None:
        set_scheduler(pipeline, scheduler)
    return pipeline


def device_named(text: str | None, what: str = "device") -> str:
    """The name of a device that is present, as torch writes it; a GPU if there is one when None.

    Args:
        text: the name that the user gave.
        what: which of a study's devices it is, for the message.

    Raises:
        UsageError: there is no such device; the message lists those that are present.
    """
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
        known = ", ".join(present)
        raise UsageError(f"unknown {what} {text!r}; available: {known}", key=(what,))
    return text


def dtype_named(text: str) -> str:
    """The name in `DTYPES` of a dtype; short names such as 'fp16' and 'half' are understood.

    Raises:
        UsageError: the dtype is unknown.
    """
    short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "half": "float16"}
    name = short.get(text, text)
    if name not in DTYPES:
        raise UsageError(f"unknown dtype {text!r}; known: {', '.join(DTYPES)}", key=("dtype",))
    return name


# The names of an IP-Adapter's layers in a denoiser.
_IP_ADAPTER = re.compile(r"^encoder_hid_proj\.|\.to_[kv]_ip\.")


def weighed(pipeline: Any) -> dict[str, Any]:
    """The modules that a picture depends on, by name: all but the safety checker."""
    import torch

    return {
        name: module
        for name, module in sorted(pipeline.components.items())
        if isinstance(module, torch.nn.Module) and name != "safety_checker"
    }


def fingerprint(pipeline: Any, dtype: str | None = None, *, ip_adapter: bool = True) -> str:
    """A digest of a pipeline's weights, the same on every device.

    It reads a sample of about 32 values of every tensor. What adapters do with the weights (scales,
    which are active) is part of it; without adapters the digest is of the weights alone.

    Args:
        pipeline: a pipeline, or anything with modules as `components`.
        dtype: compute the digest that the weights would have if they had been loaded in this
            precision, which must not be higher than their own.
        ip_adapter: whether to include an IP-Adapter: its image encoder, its layers in the
            denoiser, and their scales.

    Raises:
        UsageError: the weights are offloaded and cannot be read.
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
                    f"the weights of the {name} are offloaded layer by layer, so they cannot be "
                    "compared with those of a study; apply the study first, then offload"
                )
            key = key.replace("_orig_mod.", "")  # torch.compile adds this to the names
            flat = tensor.detach().flatten()
            sample = flat[:: max(1, flat.numel() // 32)]
            if (
                dtype is not None
                and sample.is_floating_point()
                and not _stays_float32(module, key, dtype)
            ):
                sample = sample.to(getattr(torch, dtype))
            digest.update(f"{name}.{key}{tuple(tensor.shape)}".encode())
            digest.update(sample.float().cpu().numpy().tobytes())
    digest.update(adapters_digest(weighed(pipeline), ip_adapter=ip_adapter).encode())
    return digest.hexdigest()[:16]


def check_captions(class_name: str) -> None:
    """Refuse a PixArt pipeline if a package is missing that it cleans captions with.

    Without the package it uses the captions as they are, and so draws other pictures than on a
    machine that has the package.

    Raises:
        UsageError: a package is missing.
    """
    from diffusers.utils import is_bs4_available, is_ftfy_available

    installed = {"beautifulsoup4": is_bs4_available(), "ftfy": is_ftfy_available()}
    missing = [name for name, available in installed.items() if not available]
    if class_name.startswith("PixArt") and missing:
        raise UsageError(
            f"{class_name} needs {' and '.join(missing)} to clean captions; "
            "run pip install 'diffusion-tuner[pixart]'"
        )


def pipeline_options(class_name: str) -> dict[str, Any]:
    """Further arguments of `from_pretrained` for a pipeline's class in diffusers.

    The safety checker and the watermark are neither timed nor in the pictures that are scored.
    """
    if class_name == "StableDiffusionPipeline":
        return {"safety_checker": None, "requires_safety_checker": False}
    if class_name == "StableDiffusionXLPipeline":
        return {"add_watermarker": False}
    return {}


def _stays_float32(module: Any, key: str, dtype: str) -> bool:
    """Whether loading in float16 leaves this tensor in float32, as T5 requires for some layers."""
    names = getattr(module, "_keep_in_fp32_modules", None) or ()
    return dtype == "float16" and any(part in names for part in key.split("."))


def _from_pretrained(place: str, class_name: str, precision: Any, allow_pickle: bool) -> Any:
    import diffusers
    import torch

    check_captions(class_name)
    kind = getattr(diffusers, class_name)
    options = {"dtype": precision} | pipeline_options(class_name)
    options["use_safetensors"] = None if allow_pickle else True
    folder = Path(place)
    if is_folder(place):
        check_components(place)
    half = precision is not torch.float32 and not is_folder(place)
    # A hub often has half-precision files too (variant "fp16"), which are half the download.
    variants: list[str | None] = ["fp16", None] if half else [None]
    problem: Exception | None = None
    for variant in variants:
        try:
            return kind.from_pretrained(place, variant=variant, **options)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # configurations and weights that are wrong raise many kinds
            problem = error
    reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    if (not allow_pickle and any(folder.glob("*/*.bin"))) or "safetensors" in reason:
        reason += (
            "; only safetensors are loaded; set allow_pickle if you trust the authors of the model"
        )
    raise UsageError(
        f"cannot load {place!r}: {reason}; set model to a folder with the pipeline, or connect to "
        "the hub (the environment variables HF_ENDPOINT, HF_TOKEN and HF_HOME are read)"
    ) from problem
