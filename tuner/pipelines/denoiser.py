"""The module that is called once a step: the U-Net, or the transformer."""

from typing import Any

from tuner.errors import UnfitError


def denoiser_of(pipeline: Any) -> Any:
    """A pipeline's denoiser; an `UnfitError` where it has none."""
    return getattr(pipeline, named_denoiser(pipeline))


def named_denoiser(pipeline: Any) -> str:
    """The attribute of a pipeline that holds its denoiser; an `UnfitError` where none does."""
    for name in ("unet", "transformer"):
        if getattr(pipeline, name, None) is not None:
            return name
    raise UnfitError(f"{type(pipeline).__name__} has neither a U-Net nor a transformer")


def patch_of(denoiser: Any) -> int:
    """How many of the latent's rows and columns are one token."""
    if type(denoiser).__name__ == "FluxTransformer2DModel":
        return 2  # the pipeline makes the patches, and the configuration says 1
    return int(getattr(denoiser.config, "patch_size", 1))


def check_denoiser(name: str, pipeline: Any, kinds: tuple[str, ...]) -> None:
    """Raise `UnfitError` where the denoiser is of none of these diffusers classes."""
    import diffusers

    found = denoiser_of(pipeline)
    if not isinstance(found, tuple(getattr(diffusers, kind) for kind in kinds)):
        raise UnfitError(
            f"{name} does not fit {type(pipeline).__name__} with its {type(found).__name__}; "
            f"it fits {' and '.join(kinds)}"
        )
