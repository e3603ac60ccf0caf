"""What people add to a pipeline: ControlNets, adapters, LoRAs, words; with random weights."""

import copy
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from peft import LoraConfig, inject_adapter_in_model

from tests.helpers.parts import WIDTH
from tests.helpers.pipelines import LATENT_SIDE, new
from tests.helpers.relatives import PICTURE, relative, with_ip_adapter
from tests.variants.variant import STEPS

LEVELS = {"sd": [8, 16, 16, 16], "sdxl": [8, 16, 16]}  # channels of the U-Nets


def controlnet(family: str, *, seed: int = 0) -> Any:
    """A ControlNet for the family's U-Net, whose residuals are not zero."""
    torch.manual_seed(seed)
    net = diffusers.ControlNetModel.from_unet(
        new(family).unet, conditioning_embedding_out_channels=(4, 8)
    )
    layers = (*net.controlnet_down_blocks, net.controlnet_mid_block)
    for layer in (*layers, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return net


def t2i_adapter(family: str) -> Any:
    torch.manual_seed(0)
    kind = "full_adapter" if family == "sd" else "full_adapter_xl"
    channels = LEVELS[family] if family == "sd" else [8, 16, 16, 16]
    return diffusers.T2IAdapter(
        in_channels=3,
        channels=channels,
        num_res_blocks=1,
        downscale_factor=2 if family == "sd" else 4,
        adapter_type=kind,
    )


def with_lora(family: str, *, fused: bool = False, adapters: int = 1) -> Any:
    """LoRAs on the denoiser's attentions."""
    pipeline = new(family)
    name = "transformer" if hasattr(pipeline, "transformer") else "unet"
    denoiser = getattr(pipeline, name)
    torch.manual_seed(3)
    config = LoraConfig(
        r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False
    )
    names = [f"style {number}" for number in range(adapters)]
    for adapter in names:
        if family == "pixart":  # its class has no methods for LoRAs
            inject_adapter_in_model(config, denoiser, adapter)
        else:
            denoiser.add_adapter(config, adapter)
    if adapters > 1:
        denoiser.set_adapters(names, [0.7] * adapters)
    if fused:
        pipeline.fuse_lora(components=[name])
    return pipeline


def other_lora(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> Any:
    """A callback that changes the strength of a LoRA on the way."""
    pipeline.unet.set_adapters(["style 0"], [1.0 if step == STEPS - 1 else 0.2])
    return tensors


def with_new_word(family: str) -> Any:
    """Textual inversion: a word "circle" with an embedding of its own."""
    pipeline = new(family)
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)  # tests share it
    torch.manual_seed(0)
    pipeline.load_textual_inversion(torch.randn(2, WIDTH), token="<mine>")
    return pipeline


def ip_adapter(family: str, scale: float = 0.6) -> Any:
    pipeline = with_ip_adapter.__wrapped__(family)
    pipeline.set_ip_adapter_scale(scale)
    return pipeline


def blended(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """As DifferentialDiffusion does: after each step a part of the latents is another picture's."""
    latents = tensors["latents"].clone()
    latents[:, :, :, : LATENT_SIDE // 2] *= 0.5
    return {"latents": latents}


def changed(family: str, change: Callable[[Any], Any]) -> Callable[[], Any]:
    """A new pipeline that is changed by a function, whose result is ignored."""

    def make() -> Any:
        pipeline = new(family)
        change(pipeline)
        return pipeline

    return make


def parts_of(kind: str, family: str, **parts: Callable[[], Any]) -> Callable[[], Any]:
    """A pipeline of another class with new parts."""
    return lambda: relative(kind, family, **{name: make() for name, make in parts.items()})


def each(picture: Any = PICTURE, name: str = "image", **more: Any) -> Callable[..., dict[str, Any]]:
    """Arguments with one picture for each prompt."""
    return lambda pipeline, numbers: {name: [picture] * len(numbers), **more}
