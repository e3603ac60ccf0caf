"""Which arguments a study can call a pipeline with, and the pictures among them that are files."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tuner.errors import UsageError
from tuner.pipelines.call_arguments import is_picture
from tuner.pipelines.owner import plain_class

# Arguments that a study sets itself, with what to do instead.
SET_BY_STUDY = {
    "prompt": "set prompts instead",
    "prompt_embeds": "the score needs the texts; set prompts instead",
    "generator": "each prompt has noise of its own, from seed",
    "latents": "each prompt has noise of its own, from seed",
    "num_images_per_prompt": "use batch_size for the pictures of a batch",
    "callback": "a study is measured without callbacks",
    "callback_on_step_end": "a study is measured without callbacks",
}
OF_OUTPUT = ("output_type", "return_dict")  # which do not change what is computed
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# What people call an argument otherwise.
OTHER_NAMES = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "cfg": "guidance_scale",
    "cfg_scale": "guidance_scale",
    "mask": "mask_image",
}


def checked_arguments(pipeline: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a pipeline's call that a study passes, with pictures read from their files.

    The form of the output is left out, and so are values that are the pipeline's defaults.

    Args:
        pipeline: a diffusers pipeline.
        arguments: by name.

    Raises:
        UsageError: the pipeline has no such argument, the study sets it itself, or a file of a
            picture cannot be read; or the pipeline does not draw pictures from prompts.
    """
    name = plain_class(pipeline).__name__
    defaults, takes_any = call_parameters(pipeline)
    if "prompt" not in defaults or "num_frames" in defaults:
        raise UsageError(
            f"{name} does not draw pictures from prompts; a study needs a pipeline that does",
            key=("pipeline",),
        )
    chosen: dict[str, Any] = {}
    for argument, value in arguments.items():
        if argument in OF_OUTPUT:
            continue
        if argument in SET_BY_STUDY and value is not None:
            why = SET_BY_STUDY[argument]
            raise UsageError(f"leave {argument} out of the call: {why}", key=("call", argument))
        if argument not in defaults and not takes_any:
            hint = _near(argument, [known for known in defaults if known not in SET_BY_STUDY])
            raise UsageError(f"{name} has no argument {argument!r}; {hint}", key=("call", argument))
        if is_picture(argument):
            value = read_pictures(argument, value)
        if not _is_default(value, defaults.get(argument, inspect.Parameter.empty)):
            chosen[argument] = value
    return chosen


def call_parameters(pipeline: Any) -> tuple[dict[str, Any], bool]:
    """The arguments of a pipeline's call with their defaults, and whether it takes any others.

    A subclass that takes ``**kwargs`` has the arguments of its base class as well. Those classes of
    diffusers that take ``**kwargs`` ignore what they do not know.
    """
    defaults: dict[str, Any] = {}
    for cls in plain_class(pipeline).__mro__:
        if "__call__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__call__"]).parameters.values()
        own = {p.name: p.default for p in parameters if p.kind in NAMED and p.name != "self"}
        defaults = own | defaults
        takes_others = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if not takes_others or cls.__module__.startswith("diffusers."):
            return defaults, False
    return defaults, True


def lists_of(pipeline: Any) -> list[str]:
    """The arguments of which one value is a list: for several ControlNets or IP-Adapters."""
    names: list[str] = []
    if len(getattr(getattr(pipeline, "controlnet", None), "nets", ())) > 1:
        defaults, _ = call_parameters(pipeline)
        names.append("control_image" if "control_image" in defaults else "image")
    for part in ("unet", "transformer"):
        projections = getattr(getattr(pipeline, part, None), "encoder_hid_proj", None)
        if len(getattr(projections, "image_projection_layers", ())) > 1:
            names.append("ip_adapter_image")
    return names


def read_pictures(name: str, value: Any) -> Any:
    """A picture, or a list of them; those that are named by a file are read from it.

    Raises:
        UsageError: a file cannot be read.
    """
    if isinstance(value, list | tuple):
        return [read_pictures(name, item) for item in value]
    if not isinstance(value, str | Path):
        return value
    from PIL import Image, ImageOps

    try:
        with Image.open(value) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except OSError as error:
        reason = error.strerror or "it is no picture"
        raise UsageError(f"cannot read {name} {value}: {reason}", key=("call", name)) from error


def _is_default(value: Any, default: Any) -> bool:
    """Whether a value is the default; pictures, arrays and tensors never are."""
    if default is inspect.Parameter.empty or type(value) is not type(default):
        return value is None and default is None
    return bool(value == default) if isinstance(value, bool | int | float | str) else value is None


def _near(name: str, known: list[str]) -> str:
    """The end of a message: the arguments that are near, or all."""
    near = get_close_matches(name, known, 3)
    if OTHER_NAMES.get(name) in known:
        near = [OTHER_NAMES[name]]
    return f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
