"""The denoiser of a pipeline, which is called once a step: a U-Net or a transformer."""

from typing import Any

from tuner.errors import UnfitError
from tuner.formatting import listed
from tuner.pipelines.compiling import original


def denoiser_of(pipeline: Any) -> Any:
    """A pipeline's denoiser, not compiled; raises `UnfitError` if it has none."""
    return original(called_denoiser(pipeline))


def called_denoiser(pipeline: Any) -> Any:
    """What the pipeline calls at each step: its denoiser, or what `torch.compile` made of it."""
    return getattr(pipeline, named_denoiser(pipeline))


def named_denoiser(pipeline: Any) -> str:
    """The name of the attribute that is a pipeline's denoiser; raises `UnfitError` if none is."""
    for name in ("unet", "transformer"):
        if getattr(pipeline, name, None) is not None:
            return name
    raise UnfitError(
        f"{type(pipeline).__name__} has neither a U-Net nor a transformer, which accelerators need"
    )


def patch_of(denoiser: Any) -> int:
    """The side of the square patch of the latent that is one token."""
    if type(denoiser).__name__ == "FluxTransformer2DModel":
        return 2  # Flux's pipeline makes the patches, and the model's configuration has 1
    return int(getattr(denoiser.config, "patch_size", 1))


def check_denoiser(name: str, pipeline: Any, kinds: tuple[str, ...]) -> None:
    """Check that the denoiser is an instance of one of the given classes.

    Args:
        name: of the accelerator that needs it, for the message.
        pipeline: a diffusers pipeline.
        kinds: names of classes in diffusers.

    Raises:
        UnfitError: it is of none of them.
    """
    import diffusers

    denoiser = denoiser_of(pipeline)
    if not isinstance(denoiser, tuple(getattr(diffusers, kind) for kind in kinds)):
        raise UnfitError(
            f"{name} does not fit {type(pipeline).__name__} with its {type(denoiser).__name__}; "
            f"it fits {listed(kinds)}"
        )
