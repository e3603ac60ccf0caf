"""Lines of Python that apply an accelerator with the published packages, without the tuner."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tuner.size import Size

_REGISTRY = "HookRegistry.check_if_exists_or_initialize(pipe.{denoiser})"


@dataclass(frozen=True, kw_only=True)
class Use:
    """How the code is going to be used: what the pictures depend on beside the knobs."""

    pipeline: str  # class in diffusers
    device_type: str  # 'cpu', 'cuda' or 'mps'
    dtype: str
    steps: int
    guided: bool  # whether each pass has two rows a picture, without and with the prompt
    batch: int  # pictures
    seed: int  # of the accelerators' random choices
    occupied: frozenset[str]  # parts of the model that the setting's other accelerators occupy
    size: Size | None = None  # of the pictures; None if unknown

    @property
    def denoiser(self) -> str:
        """The attribute of the pipeline that is its denoiser."""
        unets = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
        return "unet" if self.pipeline in unets else "transformer"


class Source(str):
    """An expression of Python, which `repr` leaves as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        """The expression itself."""
        return str(self)


@dataclass(frozen=True, kw_only=True)
class PlainCode:
    """What a script needs for one accelerator; the pipeline is its variable `pipe`."""

    imports: tuple[str, ...] = ()  # lines
    setup: tuple[str, ...] = ()  # lines that run once, after the pipeline was loaded
    before: tuple[str, ...] = ()  # lines that run before each call
    call: str = "pipe"  # what is called
    arguments: Mapping[str, Any] = field(default_factory=dict)  # further arguments of the call
    context: str | None = None  # an expression: the context manager in which the call runs

    @classmethod
    def of_hook(
        cls, use: Use, function: str, config: str, *, in_context: bool = True, **knobs: Any
    ) -> "PlainCode":
        """Code for a caching hook of diffusers.

        Args:
            use: how the code is going to be used.
            function: the function of diffusers that attaches the hook to a denoiser.
            config: the class of its configuration.
            in_context: whether the hook needs a cache context.
            knobs: the arguments of the configuration.
        """
        values = [f"    {name}={value!r}," for name, value in knobs.items()]
        context = None
        if in_context and use.pipeline != "FluxPipeline":  # Flux's pipeline opens one itself
            context = f'CacheMixin.cache_context(pipe.{use.denoiser}, "call")'
        return cls(
            imports=(
                f"from diffusers import {config}, {function}",
                "from diffusers.hooks import HookRegistry",
                *(("from diffusers.models import CacheMixin",) if context else ()),
            ),
            setup=(f"config = {config}(", *values, ")", f"{function}(pipe.{use.denoiser}, config)"),
            before=(f"{_REGISTRY.format(denoiser=use.denoiser)}.reset_stateful_hooks()",),
            context=context,
        )

    def counting_passes(self, use: Use) -> "PlainCode":
        """The same with a list `passes` that has an item for each step of the call so far."""
        return replace(
            self,
            setup=(
                "passes = []  # one item for each step of the call so far",
                f"pipe.{use.denoiser}.register_forward_pre_hook(lambda *_: passes.append(None))",
                *self.setup,
            ),
            before=("passes.clear()", *self.before),
        )

    def importing(self, line: str) -> "PlainCode":
        """The same with one more import."""
        return replace(self, imports=(*self.imports, line))
