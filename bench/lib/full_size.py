"""Full-size pipelines with random weights, built from the published configurations.

Speed does not depend on the weights, so these need no download. Configurations as in the models'
own repositories (`unet/config.json`, `vae/config.json`, `text_encoder/config.json`); the tokenizer
is the miniature's, whose tokens are all valid in the larger vocabularies.
"""

from functools import partial
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tuner.models.miniature.training import tokenizer

FAMILIES = ("SD1.5", "SD2.1", "SDXL")
_LEVELS = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
_LEVELS_UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
_VIT_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
_VIT_L |= {"num_attention_heads": 12, "projection_dim": 768}
_VIT_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}
_VIT_H |= {"num_attention_heads": 16, "projection_dim": 512}
_BIG_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32}
_BIG_G |= {"num_attention_heads": 20, "projection_dim": 1280}


def build(family: str, *, dtype: torch.dtype, device: str, narrow: int = 1) -> Any:
    """A pipeline of this family with random weights, created directly on the device.

    `narrow` divides the number of the U-Net's channels; if greater than 1, each text encoder has
    one layer only. The U-Net keeps all its modules, so that Python's work at a step is the same.
    """
    torch.manual_seed(0)
    # Created outside of `torch.device`: its tables are on the host, as in every pipeline.
    scheduler = ddim("v_prediction" if family == "SD2.1" else "epsilon")
    make = partial({"SD1.5": _sd15, "SD2.1": _sd21, "SDXL": _sdxl}[family], scheduler, narrow)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # no copy in single precision needs memory
    try:
        with torch.device(device):  # a GPU draws billions of weights in a moment
            pipeline = make()
    finally:
        torch.set_default_dtype(before)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ddim(prediction_type: str) -> DDIMScheduler:
    """The DDIM scheduler as Stable Diffusion's checkpoints configure it."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def _vae(scaling_factor: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=scaling_factor,
        force_upcast=False,
    )


def _text(config: dict[str, int], narrow: int, *, projected: bool = False) -> Any:
    if narrow > 1:
        config = config | {"num_hidden_layers": 1}
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return kind(CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **config))


def _words() -> Any:
    words = tokenizer()
    words.model_max_length = 77
    return words


def _channels(narrow: int, *channels: int) -> tuple[int, ...]:
    return tuple(channel // narrow for channel in channels)


def _sd15(scheduler: DDIMScheduler, narrow: int) -> StableDiffusionPipeline:
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=_channels(narrow, 320, 640, 1280, 1280),
        down_block_types=_LEVELS,
        up_block_types=_LEVELS_UP,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    return _sd(unet, _text(_VIT_L, narrow), scheduler)


def _sd21(scheduler: DDIMScheduler, narrow: int) -> StableDiffusionPipeline:
    unet = UNet2DConditionModel(
        sample_size=96,
        block_out_channels=_channels(narrow, 320, 640, 1280, 1280),
        down_block_types=_LEVELS,
        up_block_types=_LEVELS_UP,
        cross_attention_dim=1024,
        attention_head_dim=(5, 10, 20, 20),
        use_linear_projection=True,
    )
    return _sd(unet, _text(_VIT_H, narrow), scheduler)


def _sd(unet: Any, text: Any, scheduler: DDIMScheduler) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=_vae(0.18215),
        text_encoder=text,
        tokenizer=_words(),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(scheduler: DDIMScheduler, narrow: int) -> StableDiffusionXLPipeline:
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=_channels(narrow, 320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        cross_attention_dim=2048,
        attention_head_dim=(5, 10, 20) if narrow == 1 else 8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(0.13025),
        text_encoder=_text(_VIT_L, narrow),
        text_encoder_2=_text(_BIG_G, narrow, projected=True),
        tokenizer=_words(),
        tokenizer_2=_words(),
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )
