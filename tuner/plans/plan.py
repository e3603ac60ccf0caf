"""What a setting computes, step by step and layer by layer.

Two settings with the same plan are the same computation, and from the plan follows what each step
costs. Every accelerator enters its own part (`Accelerator.plan`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner.errors import UsageError
from tuner.pipelines.denoiser import denoiser_of, patch_of
from tuner.size import Size


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One transformer block."""

    downsample: int  # factor between the finest grid of tokens and that of this layer
    # The skip branch (block · 3 + layer, as DeepCache counts) at which a shallow pass must enter at
    # least for this layer to run. That of the middle block is greater than all branches.
    branch: int
    up: bool  # whether it is in the U-Net's upward half
    cross: bool = True  # whether it has a second attention: to the prompt, or SD3.5's own


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The properties of a pipeline that a plan needs: the grid of tokens, branches and layers."""

    height: int  # of the finest grid of tokens: the latent's, or its patches'
    width: int
    branches: int  # number of a U-Net's skip branches; 0 for a transformer
    layers: tuple[Layer, ...]


@dataclass(kw_only=True)
class Step:
    """One pass of the denoiser.

    A source, of each layer, is the number of the step whose attention output is used: this step if
    the attention is computed, None if the layer does not run.
    """

    guided: bool = True  # whether each picture is computed twice: with and without the prompt
    entered: int | None = None  # the branch at which a shallow pass turns back; None: a full pass
    self_source: list[int | None] = field(default_factory=list)  # of self-attention
    cross_source: list[int | None] = field(default_factory=list)  # of the second attention


@dataclass(kw_only=True)
class Plan:
    """All steps of one generation."""

    shape: Shape
    full_steps: frozenset[int]
    steps: list[Step]
    merged: list[int]  # by layer: the number of tokens merged around self-attention
    # By accelerator: knob values that distinguish settings whose steps look the same, because what
    # is computed depends on the picture or because the values change only how it is reused.
    data_dependent: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def computation(self) -> tuple[Any, ...]:
        """A key that is equal for two plans of a shape exactly when they compute the same."""
        any_self_attention = any(
            source == number
            for number, step in enumerate(self.steps)
            for source in step.self_source
        )
        return (
            tuple(
                (s.guided, s.entered, tuple(s.self_source), tuple(s.cross_source))
                for s in self.steps
            ),
            tuple(self.merged) if any_self_attention else (),
            tuple(sorted(self.data_dependent.items())),
        )


def plan_of(accelerators: Sequence[Any], shape: Shape, steps: int) -> Plan:
    """The plan of a combination of accelerators.

    Args:
        accelerators: those that are applied together, in any order.
        shape: the shape of the denoiser.
        steps: the number of denoising steps.
    """
    full: frozenset[int] = frozenset().union(*(part.full_steps() for part in accelerators))
    plan = baseline_plan(shape, steps, full & frozenset(range(steps)))
    for part in sorted(accelerators, key=lambda part: part.order):
        part.plan(plan)
    return plan


def baseline_plan(shape: Shape, steps: int, full_steps: frozenset[int]) -> Plan:
    """A plan in which everything is computed at every step.

    `full_steps` are those at which accelerators, once they enter their parts, must not reuse
    anything; see `Accelerator.full_steps`.
    """
    return Plan(
        shape=shape,
        full_steps=full_steps,
        steps=[
            Step(
                self_source=[number] * len(shape.layers),
                cross_source=[number if layer.cross else None for layer in shape.layers],
            )
            for number in range(steps)
        ],
        merged=[0] * len(shape.layers),
    )


def check_sides(pipeline: Any, sides: Mapping[str, int]) -> None:
    """Check that sides of pictures are a whole number of the denoiser's tokens.

    Args:
        pipeline: a diffusers pipeline.
        sides: pixels by the name of the study's key: 'height', 'width' or 'resolution'.

    Raises:
        UsageError: one is not.
    """
    multiple = pipeline.vae_scale_factor * patch_of(denoiser_of(pipeline))
    for name, pixels in sides.items():
        if pixels % multiple:
            raise UsageError(
                f"{name} must be a multiple of {multiple} for {type(pipeline).__name__}, "
                f"not {pixels}",
                key=(name,),
            )


def shape_of(pipeline: Any, height: int, width: int | None = None) -> Shape:
    """The shape of a pipeline's denoiser, for pictures of this size in pixels.

    The width is the height if None.
    """
    scale = pipeline.vae_scale_factor
    latent = Size(height // scale, (height if width is None else width) // scale)
    if getattr(pipeline, "unet", None) is not None:
        return _shape_of_unet(pipeline.unet, latent)
    return _shape_of_transformer(pipeline.transformer, latent)


def _shape_of_transformer(transformer: Any, latent: Size) -> Shape:
    """The shape of a transformer, whose blocks all have the same resolution and always run."""
    patch = patch_of(transformer)
    blocks = [
        *transformer.transformer_blocks,
        *getattr(transformer, "single_transformer_blocks", ()),
    ]
    layers = tuple(
        Layer(downsample=1, branch=0, up=True, cross=getattr(block, "attn2", None) is not None)
        for block in blocks
    )
    height, width = latent.height // patch, latent.width // patch
    return Shape(height=height, width=width, branches=0, layers=layers)


def _shape_of_unet(unet: Any, latent: Size) -> Shape:
    """The shape of a U-Net whose latent has this size."""
    blocks = len(unet.down_blocks)
    layers: list[Layer] = []

    def add(block: Any, number: int, down: bool, position: int) -> None:
        per_block = len(block.resnets)
        for index, attention in enumerate(getattr(block, "attentions", None) or []):
            layer = index if down else per_block - index - 1
            # An upward layer runs from one branch earlier on than the downward layer of its number.
            branch = 3 * number + layer + (1 if down else 0)
            layers.extend(
                Layer(downsample=2**position, branch=branch, up=not down)
                for _ in attention.transformer_blocks
            )

    for number, block in enumerate(unet.down_blocks):
        add(block, number, True, number)
    middle = unet.mid_block
    for attention in (getattr(middle, "attentions", None) or []) if middle is not None else []:
        layers.extend(
            Layer(downsample=2 ** (blocks - 1), branch=3 * blocks, up=True)
            for _ in attention.transformer_blocks
        )
    for index, block in enumerate(unet.up_blocks):
        add(block, blocks - index - 1, False, blocks - index - 1)
    return Shape(
        height=latent.height, width=latent.width, branches=3 * blocks, layers=tuple(layers)
    )
