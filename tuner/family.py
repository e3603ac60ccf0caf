"""Which family a model is of: one that the tuner knows by name, or that of its pipeline's class."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from tuner import registry
from tuner.errors import UsageError, about
from tuner.given_files import is_folder, parsed_json, read_text
from tuner.models import Model
from tuner.pipelines.denoiser import denoiser_of
from tuner.pipelines.owner import plain_class
from tuner.scheduler_table import SCHEDULERS

DEFAULT = "SD1.5"
INDEX = "model_index.json"
MOST_BYTES = 1_000_000  # of a file that describes a model; the largest known has 3,000
PACKAGES = ("diffusers", "transformers")  # of a pipeline's parts
LONGEST_NAME = 100  # characters of a class
MOST_BLOCKS = 12  # of a VAE, each of which halves the sides of a picture
# What a measurement passes to a pipeline's call.
ARGUMENTS = (
    *("prompt", "height", "width", "num_inference_steps", "guidance_scale", "generator"),
    "output_type",
)


def family_of(pipe: str | None, place: str | None) -> Model:
    """The family (the kind) of a study's model.

    Args:
        pipe: the family's name; when None it is read from the model's files, or is SD1.5.
        place: hub id or folder of the model; when None, the family's own.

    Raises:
        UsageError: the name is unknown, the family is not known, or the place is a path at which
            there is no folder.
    """
    is_path = place is not None and (Path(place).is_absolute() or place.startswith((".", "~")))
    if is_path and not is_folder(str(place)):  # otherwise noticed after the prompts were loaded
        raise _neither(str(place))
    names = {registry.plain(name) for name in registry.components("models")}
    if place is not None and (pipe is None or registry.plain(pipe) not in names):
        told = told_by(place)
        if pipe is None or registry.plain(told.name) == registry.plain(pipe):
            return told
    model: Model = registry.get("models", pipe or DEFAULT)
    return model


@cache
def own_family() -> Model:
    """What is known of a pipeline of the user's before it is loaded: any accelerator may fit."""
    return Model(
        name="pipeline",
        source="",
        pipeline="DiffusionPipeline",
        resolution=512,
        guidance_scale=7.5,
        prompts="coco",
        metric="clip",
        accelerators=tuple(registry.components("accelerators")),
    )


def family_like(pipeline: Any) -> Model:
    """The known model whose defaults suit a pipeline; `own_family` if there is none.

    Its class name begins the name of the pipeline's class, as "StableDiffusion" begins
    "StableDiffusionImg2ImgPipeline". Of several, it is the one with the longest name, and of these
    the one with the same width of the prompt's embedding. If none has that width, the defaults are
    those of `own_family` with the accelerators of these models.
    """
    name = plain_class(pipeline).__name__
    models = registry.components("models").values()
    near = [m for m in models if name.startswith(m.pipeline.removesuffix("Pipeline"))]
    longest = max((model.pipeline for model in near), key=len, default="")
    near = [model for model in near if model.pipeline == longest]
    width = denoiser_of(pipeline).config.get("cross_attention_dim")
    same = [model for model in near if len(near) == 1 or model.cross_attention_dim == width]
    if not same and near:
        return replace(own_family(), accelerators=near[0].accelerators)
    return same[0] if same else own_family()


@cache
def told_by(place: str) -> Model:
    """The family of a model, according to the files that describe it.

    A known model of the same pipeline class and, of several, with the same width of the prompt's
    embedding; otherwise a family that is named after the class. The resolution is that of the
    model itself, and so is the scheduler where none but its kind fits how the model was trained.

    Args:
        place: hub id or folder.

    Raises:
        UsageError: there is no such model, or its pipeline does not draw pictures from prompts.
    """
    index = _described(place, INDEX)
    if index is None:
        raise UsageError(
            f"{place} is not a diffusers pipeline: it has no {INDEX}; set model to the hub id or "
            "the folder that has one",
            key=("model",),
        )
    class_name = str(index.get("_class_name"))[:LONGEST_NAME]
    part = "unet" if "unet" in index else "transformer"
    config = _described(place, f"{part}/config.json") or {}
    family = _known(class_name, config.get("cross_attention_dim")) or _of_class(class_name, place)
    side = _side(config, _described(place, "vae/config.json") or {})
    return replace(
        family,
        resolution=side or family.resolution,
        scheduler=_scheduler(index) or family.scheduler,
    )


def check_components(folder: str) -> None:
    """Refuse a folder that is no pipeline, or whose parts are of other packages than diffusers.

    Loading it would import whatever package its `model_index.json` names.

    Raises:
        UsageError: it has no such file, or a part's class is of no known package.
    """
    import diffusers

    index = _described(folder, INDEX)
    if index is None:
        raise UsageError(
            f"{folder} is not a diffusers pipeline: it has no {INDEX}; set model to the folder "
            "that contains that file"
        )
    for name, part in index.items():
        if name.startswith("_") or not isinstance(part, list):
            continue
        package = part[0] if part else None
        if package in (*PACKAGES, None) or hasattr(diffusers.pipelines, str(package)):
            continue
        raise UsageError(
            f"{folder}: the {name} is from the package {package!r}, whose code is not run; "
            f"{INDEX} may name only classes of {' and '.join(PACKAGES)}"
        )


def _known(class_name: str, width: Any) -> Model | None:
    """The known model of a class; of several, that with this width of the prompt's embedding."""
    same = [m for m in registry.components("models").values() if m.pipeline == class_name]
    if len(same) > 1:
        same = [model for model in same if model.cross_attention_dim == width]
    return same[0] if same else None


def _of_class(class_name: str, place: str) -> Model:
    """A family for a class of diffusers that has no known model, or none like this."""
    import diffusers

    kind = getattr(diffusers, class_name, None)
    if not isinstance(kind, type) or not issubclass(kind, diffusers.DiffusionPipeline):
        raise UsageError(
            f"the pipeline of {place} is {class_name}, which is no pipeline class of diffusers; "
            f"set pipe to a known model whose class can load it: {_names()}",
            key=("model",),
        )
    parameters = inspect.signature(kind.__call__).parameters
    missing = [name for name in ARGUMENTS if name not in parameters]
    needed = [
        name
        for name, parameter in parameters.items()
        if name not in ("self", "prompt")
        and parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    if missing or needed or "num_frames" in parameters:
        raise UsageError(
            f"the pipeline of {place} is {class_name}, which does not draw pictures from prompts "
            "alone; a study needs one that does",
            key=("model",),
        )
    return Model(
        name=class_name.removesuffix("Pipeline"),
        source=place,
        pipeline=class_name,
        resolution=1024,
        guidance_scale=float(parameters["guidance_scale"].default),
        prompts="coco",
        metric="clip",
        accelerators=tuple(registry.components("accelerators")),
    )


def _scheduler(index: Mapping[str, Any]) -> str | None:
    """The scheduler of a model that was trained by flow matching or as an EDM; None of others."""
    kind = str((index.get("scheduler") or ["", ""])[-1])
    if not kind.startswith(("FlowMatch", "EDM")):
        return None
    known = [name for name, row in SCHEDULERS.items() if row.kind == kind]
    return (*known, "FlowMatchEuler" if kind.startswith("FlowMatch") else "EDM Euler")[0]


def _side(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> int | None:
    """The side in pixels of the pictures that a model was trained on; None if it is not said."""
    size, blocks = denoiser.get("sample_size"), vae.get("block_out_channels")
    if not isinstance(size, int) or not isinstance(blocks, list) or len(blocks) > MOST_BLOCKS:
        return None
    return int(size * 2 ** (len(blocks) - 1))


def _described(place: str, file: str) -> dict[str, Any] | None:
    """The contents of a file of a model; None if it has no such file.

    Raises:
        UsageError: the model cannot be reached, or the file cannot be read.
    """
    path = Path(place) / file
    if not is_folder(place):
        downloaded = _downloaded(place, file)
        if downloaded is None:
            return None
        path = downloaded
    if not path.is_file():
        return None
    with about("model"):
        text = read_text(path, "file", MOST_BYTES)
        try:
            contents = parsed_json(text)
        except ValueError as error:
            raise UsageError(f"cannot read {path}: {error}") from error
        if not isinstance(contents, dict):
            raise UsageError(f"cannot read {path}: it is no JSON object")
    return contents


def _downloaded(place: str, file: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(hf_hub_download(place, file))
    except LocalEntryNotFoundError as error:
        # A kind of EntryNotFoundError: the hub is out of reach.
        reason: Exception = error
    except EntryNotFoundError:
        return None
    except HFValidationError as error:
        raise _neither(place) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = error
    line = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
    raise UsageError(
        f"cannot tell what kind of model {place!r} is: {line}; set model to a folder with the "
        f"pipeline, connect to the hub, or set pipe to a known model of its kind: {_names()}",
        key=("model",),
    ) from reason


def _neither(place: str) -> UsageError:
    text = f"{place!r} is neither a folder nor a hub id; set model to one"
    return UsageError(text, key=("model",))


def _names() -> str:
    return ", ".join(registry.components("models"))
