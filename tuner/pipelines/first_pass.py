"""What a pipeline hands to its denoiser first: a call that ends before the denoiser runs."""

from collections.abc import Mapping
from typing import Any

from tuner.errors import TunerError, UsageError, in_words
from tuner.pipelines.arguments import size_of
from tuner.pipelines.calls import values_of
from tuner.pipelines.denoiser import called_denoiser
from tuner.size import Size


class _EndedError(Exception):
    """Ends a call at its first pass."""


def drawn_size(pipeline: Any, arguments: Mapping[str, Any]) -> Size:
    """The size of the pictures that a call draws, which may be that of a picture it is given.

    The call is begun with these arguments, and ended where the denoiser would run. So an argument
    with which the pipeline cannot be called is an error before anything is measured.

    Args:
        pipeline: a diffusers pipeline.
        arguments: of its call, the prompts included.

    Raises:
        UsageError: the call fails; the message has its error.
    """
    denoiser = called_denoiser(pipeline)  # outside of compiled code
    shape = _shape_of_first_pass(pipeline, denoiser, arguments)
    if shape is not None and len(shape) == 4:
        height, width = shape[-2:]
        scale = pipeline.vae_scale_factor
        return Size(height * scale, width * scale)
    size = size_of(pipeline, denoiser, values_of(pipeline, arguments))  # of tokens in a row
    if size is None:
        raise UsageError(
            f"the size of {type(pipeline).__name__}'s pictures does not follow from its call; "
            "give height and width",
            key=("call",),
        )
    return size


def _shape_of_first_pass(
    pipeline: Any, denoiser: Any, arguments: Mapping[str, Any]
) -> tuple[int, ...] | None:
    """The shape of the latents that the denoiser is first called with; None if it never is."""
    shapes: list[tuple[int, ...]] = []

    def end(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        name = "hidden_states" if "hidden_states" in kwargs else "sample"
        sample = args[0] if args else kwargs[name]
        shapes.append(tuple(sample.shape))
        raise _EndedError

    # Some pipelines exchange them, and put the old ones back only at the end of the call.
    processors = [(m, m.processor) for m in denoiser.modules() if hasattr(m, "set_processor")]
    hook = denoiser.register_forward_pre_hook(end, with_kwargs=True)
    try:
        pipeline(**arguments)
    except _EndedError:
        pass
    except TunerError:
        raise
    except Exception as error:
        raise UsageError(
            f"{type(pipeline).__name__} cannot be called like this: {type(error).__name__}: "
            f"{in_words(error)}",
            key=("call",),
        ) from error
    finally:
        hook.remove()
        for module, processor in processors:
            if module.processor is not processor:
                module.set_processor(processor)
    return shapes[0] if shapes else None
