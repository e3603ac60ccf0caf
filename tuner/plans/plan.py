"""What a setting really computes, step by step and layer by layer.

Two settings with the same plan are the same computation; the plan also says what a step costs.
Every accelerator writes its own part of it (`Accelerator.plan`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner.errors import UsageError
from tuner.pipelines.denoiser import denoiser_of, patch_of


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One transformer block.

    `branch` is the skip branch (block·3 + layer, as DeepCache counts) that a pass must at least
    enter at for this layer to run; the middle's is beyond all branches.
    """

    downsample: int  # of its tokens, against the finest grid
    branch: int
    up: bool  # in the U-Net's upward half
    cross: bool = True  # a second attention: to the prompt, or SD3.5's within the picture


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a pipeline a plan depends on: the grid of tokens, the blocks, the layers."""

    height: int  # of the finest grid of tokens: the latent, or its patches
    width: int
    branches: int  # skip branches of a U-Net; a transformer has none
    layers: tuple[Layer, ...]


@dataclass(kw_only=True)
class Step:
    """One pass of the denoiser. A source is the step whose result is used; itself when computed."""

    guided: bool = True  # a batch of two for each picture: with and without the prompt
    entered: int | None = None  # the branch at which a shallow pass turns back; None is a full pass
    self_source: list[int | None] = field(default_factory=list)  # by layer; None: it does not run
    cross_source: list[int | None] = field(default_factory=list)


@dataclass(kw_only=True)
class Plan:
    """All steps of one generation."""

    shape: Shape
    full_steps: frozenset[int]
    steps: list[Step]
    merged: list[int]  # by layer: tokens merged around self-attention
    # By accelerator: knob values that tell settings apart where the steps do not show it, as of
    # one that decides by the picture what is computed.
    data_dependent: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def computation(self) -> tuple[Any, ...]:
        """Equal for two settings exactly when they compute the same."""
        live = any(
            source == number
            for number, step in enumerate(self.steps)
            for source in step.self_source
        )
        return (
            tuple(
                (s.guided, s.entered, tuple(s.self_source), tuple(s.cross_source))
                for s in self.steps
            ),
            tuple(self.merged) if live else (),
            tuple(sorted(self.data_dependent.items())),
        )


def plan_of(accelerators: Sequence[Any], shape: Shape, steps: int) -> Plan:
    """The plan of accelerators together, on a denoiser of this shape."""
    full: frozenset[int] = frozenset().union(*(one.full_steps() for one in accelerators))
    plan = blank(shape, steps, full & frozenset(range(steps)))
    for one in sorted(accelerators, key=lambda one: one.order):
        one.plan(plan)
    return plan


def blank(shape: Shape, steps: int, full_steps: frozenset[int]) -> Plan:
    """The baseline's plan: everything is computed at every step."""
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


def check_resolution(pipeline: Any, resolution: int) -> None:
    """Refuse a resolution in pixels that does not divide into a transformer's patches."""
    grain = pipeline.vae_scale_factor * patch_of(denoiser_of(pipeline))
    if resolution % grain:
        raise UsageError(
            f"resolution must be a multiple of {grain} for {type(pipeline).__name__}, "
            f"not {resolution}"
        )


def shape_of(pipeline: Any, resolution: int) -> Shape:
    """The shape of a pipeline's U-Net or transformer at a resolution in pixels."""
    latent = resolution // pipeline.vae_scale_factor
    if getattr(pipeline, "unet", None) is not None:
        return _shape_of_unet(pipeline.unet, latent)
    return _shape_of_transformer(pipeline.transformer, latent)


def _shape_of_transformer(transformer: Any, latent: int) -> Shape:
    """A transformer's blocks are of one resolution, and all of them run at every step."""
    side = latent // patch_of(transformer)
    blocks = [
        *transformer.transformer_blocks,
        *getattr(transformer, "single_transformer_blocks", ()),
    ]
    layers = tuple(
        Layer(downsample=1, branch=0, up=True, cross=getattr(block, "attn2", None) is not None)
        for block in blocks
    )
    return Shape(height=side, width=side, branches=0, layers=layers)


def _shape_of_unet(unet: Any, latent: int) -> Shape:
    blocks = len(unet.down_blocks)
    layers: list[Layer] = []

    def add(block: Any, number: int, down: bool, position: int) -> None:
        per_block = len(block.resnets)
        for index, attention in enumerate(getattr(block, "attentions", None) or []):
            layer = index if down else per_block - index - 1
            # An upward layer runs one branch earlier than the downward one of the same number.
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
    return Shape(height=latent, width=latent, branches=3 * blocks, layers=tuple(layers))
