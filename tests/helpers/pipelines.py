"""Tiny pipelines of the real diffusers classes with random weights, for tests.

`sd` and `sdxl` have the shape of SD1.5 and SDXL in small: the same blocks, the same number of
skip branches, 4 to 16 channels, 8x8 latents and 16x16 pictures. `pixart` is PixArt-α with three
blocks of 24 channels over 4x4 patches, `flux` has two blocks of each kind over as many, `sd3` has
three, two of them with SD3.5's second attention. An 8-step generation of two prompts takes a tenth
of a second on one core.
"""

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5EncoderModel,
)

from tests.helpers.parts import (
    LATENT_SIDE,
    WIDTH,
    ddim,
    t5_config,
    t5_tokenizer,
    text_config,
    tokenizer,
    vae,
)
from tuner.schedulers import set_scheduler

# The code path of a transformer is the same with every scheduler: its own one is enough.
SCHEDULERS_OF = {
    "sd": ("DDIM", "DPM-Solver++", "UniPC"),
    "sdxl": ("DDIM", "DPM-Solver++", "UniPC"),
    "pixart": ("DPM-Solver++",),
    "flux": ("FlowMatchEuler",),
    "sd3": ("FlowMatchEuler",),
}

FAMILIES = tuple(SCHEDULERS_OF)

UNETS = ("sd", "sdxl")

STEPS = 8

PROMPTS = ("a red circle", "a blue ring", "a green square")


def tiny(family: str, scheduler: str | None = None) -> Any:
    """The family's pipeline, shared by the whole session; a test that patches it must undo that."""
    return _with_scheduler(_shared(family, torch.float32), family, scheduler)


def double(family: str, scheduler: str | None = None) -> Any:
    """The same in float64, where the order of a sum does not change the picture visibly."""
    return _with_scheduler(_shared(family, torch.float64), family, scheduler)


def new(family: str) -> Any:
    """A new pipeline, which a test may leave patched."""
    known = {"sd": sd, "sdxl": sdxl, "pixart": pixart, "sigma": sigma, "flux": flux, "sd3": sd3}
    return known[family]()


def new_double(family: str) -> Any:
    """A new pipeline in float64."""
    pipeline = new(family)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.double()
    return pipeline


def sd(prediction_type: str = "epsilon") -> StableDiffusionPipeline:
    """SD1.5's shape: four levels, two layers each, cross-attention on three; 12 branches."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config()),
        tokenizer=tokenizer(),
        unet=unet,
        scheduler=ddim(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _quiet(pipeline)


def sdxl(prediction_type: str = "epsilon") -> StableDiffusionXLPipeline:
    """SDXL's shape: three levels, none, one and two transformer layers; 9 branches."""
    torch.manual_seed(0)
    time_width = 4
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=(8, 16, 16),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=time_width,
        projection_class_embeddings_input_dim=WIDTH + 6 * time_width,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config()),
        text_encoder_2=CLIPTextModelWithProjection(text_config()),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=unet,
        scheduler=ddim(prediction_type),
        add_watermarker=False,
    )
    return _quiet(pipeline)


def pixart() -> PixArtAlphaPipeline:
    """PixArt-α at 1024 pixels: with resolution and aspect ratio as inputs, and with variances."""
    torch.manual_seed(0)
    return _quiet(PixArtAlphaPipeline(**_pixart_parts(use_additional_conditions=True)))


def sigma() -> PixArtSigmaPipeline:
    """PixArt-Σ: the same blocks, without the two conditions."""
    torch.manual_seed(0)
    return _quiet(PixArtSigmaPipeline(**_pixart_parts(use_additional_conditions=False)))


def flux() -> FluxPipeline:
    """FLUX.1-dev's shape: blocks of two streams, then of one, and its guidance as an input."""
    torch.manual_seed(1)  # with seed 0 the miniature's scorer gives its pictures negative scores
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(shift_factor=0.1),
        text_encoder=CLIPTextModel(text_config()),
        tokenizer=tokenizer(),
        text_encoder_2=T5EncoderModel(t5_config()),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    )
    return _quiet(pipeline)


def sd3() -> StableDiffusion3Pipeline:
    """SD3.5's shape: blocks over prompt and picture, two of three with a second attention."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=LATENT_SIDE,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=LATENT_SIDE,
        dual_attention_layers=(0, 1),
        qk_norm="rms_norm",
    )
    pipeline = StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(shift_factor=0.1),
        text_encoder=CLIPTextModelWithProjection(text_config()),
        tokenizer=tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(text_config()),
        tokenizer_2=tokenizer(),
        text_encoder_3=T5EncoderModel(t5_config(2 * WIDTH)),
        tokenizer_3=t5_tokenizer(),
        transformer=transformer,
    )
    return _quiet(pipeline)


def generators(count: int, first: int = 0) -> list[torch.Generator]:
    """One generator for each prompt, so that a picture does not depend on its batch."""
    return [torch.Generator().manual_seed(first + index) for index in range(count)]


def pictures(
    generate: Any, prompts: Sequence[str] = PROMPTS[:2], *, first: int = 0, **arguments: Any
) -> np.ndarray:
    """Call a pipeline or an accelerated call; shape (prompts, 16, 16, 3), values in [0, 1].

    `first` is the seed of the first prompt's noise; the others count on from it.
    """
    side = 2 * LATENT_SIDE
    size = {"height": side, "width": side}
    arguments = {"num_inference_steps": STEPS, "output_type": "np", **size, **arguments}
    arguments.setdefault("generator", generators(len(prompts), first))
    known = inspect.signature(generate).parameters
    if "use_resolution_binning" in known:
        arguments["use_resolution_binning"] = False  # the smallest bin is 256 pixels
    if "max_sequence_length" in known:
        arguments["max_sequence_length"] = 16  # T5 would pad to hundreds of tokens
    images: np.ndarray = generate(list(prompts), **arguments).images
    return images


def same(some: np.ndarray, other: np.ndarray) -> bool:
    """Whether the pictures are the same bit for bit, and without NaN."""
    return bool(np.isfinite(some).all()) and np.array_equal(some, other)


@cache
def _shared(family: str, dtype: torch.dtype) -> Any:
    pipeline = new_double(family) if dtype == torch.float64 else new(family)
    pictures(pipeline, num_inference_steps=1)  # the first call sets attributes of its own
    return pipeline


def _with_scheduler(pipeline: Any, family: str, name: str | None) -> Any:
    """Set the scheduler each time, so that a test is not affected by the one before it."""
    flow = SCHEDULERS_OF.get(family) == ("FlowMatchEuler",)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler() if flow else ddim("epsilon")
    set_scheduler(pipeline, name or SCHEDULERS_OF[family][0])
    return pipeline


def _pixart_parts(*, use_additional_conditions: bool) -> dict[str, Any]:
    transformer = PixArtTransformer2DModel(
        sample_size=128,  # as it was trained; the call names what is drawn
        num_layers=3,
        num_attention_heads=4,
        attention_head_dim=6,
        cross_attention_dim=24,
        caption_channels=WIDTH,
        use_additional_conditions=use_additional_conditions,
    )
    return {
        "tokenizer": t5_tokenizer(),
        "text_encoder": T5EncoderModel(t5_config()),
        "vae": vae(),
        "transformer": transformer,
        "scheduler": ddim("epsilon"),
    }


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return pipeline
