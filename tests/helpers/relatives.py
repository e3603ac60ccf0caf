"""Other pipelines of diffusers with the tiny models, which use the denoiser in other ways."""

import inspect
from functools import cache
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from tests.helpers.pipelines import LATENT_SIDE, generators, new

SIDE = 2 * LATENT_SIDE
PICTURE = Image.fromarray(
    np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
)


def relative(kind: str, family: str, **parts: Any) -> Any:
    """A pipeline of another class, with the parts of a new one of the family and further parts."""
    cls = getattr(diffusers, kind)
    takes = inspect.signature(cls.__init__).parameters
    known = {name: part for name, part in new(family).components.items() if name in takes}
    plain = {"requires_safety_checker": False} if "requires_safety_checker" in takes else {}
    pipeline = cls(**known | plain | parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn(generate: Any, *prompts: str, **more: Any) -> np.ndarray:
    """Pictures of a red circle, or of other prompts, in eight steps."""
    known = inspect.signature(generate).parameters
    count = len(prompts) or 1
    usual = {
        "height": SIDE,
        "width": SIDE,
        "num_inference_steps": 8,
        "output_type": "np",
        "max_sequence_length": 16,
        "use_resolution_binning": False,
        "generator": generators(count),
    }
    arguments = {name: value for name, value in usual.items() if name in known}
    images = generate(list(prompts) or ["a red circle"], **arguments | more).images
    return np.asarray(images)


def unet(**changes: Any) -> Any:
    """The tiny SD's U-Net with another configuration."""
    config = {k: v for k, v in dict(new("sd").unet.config).items() if not k.startswith("_")}
    torch.manual_seed(0)
    made = diffusers.UNet2DConditionModel(**config | changes)
    return made.eval().requires_grad_(False)


def with_controlnet(family: str) -> Any:
    """Flux's or SD3's pipeline with a ControlNet whose residuals are not zero."""
    base = new(family)
    if family == "flux":
        net = diffusers.FluxControlNetModel.from_transformer(
            base.transformer,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
        )
    else:
        net = diffusers.SD3ControlNetModel.from_transformer(
            base.transformer, num_layers=2, num_extra_conditioning_channels=0
        )
    torch.manual_seed(0)
    for layer in [*net.controlnet_blocks, *getattr(net, "controlnet_single_blocks", [])]:
        torch.nn.init.normal_(layer.weight, std=0.3)
    kinds = {"flux": "FluxControlNetPipeline", "sd3": "StableDiffusion3ControlNetPipeline"}
    return relative(kinds[family], family, controlnet=net.eval().requires_grad_(False))


def controlled(generate: Any, *prompts: str, **more: Any) -> np.ndarray:
    """Pictures under the ControlNet."""
    pictures = [PICTURE] * (len(prompts) or 1)
    return drawn(
        generate, *prompts, control_image=pictures, controlnet_conditioning_scale=1.0, **more
    )


@cache
def with_ip_adapter(family: str) -> Any:
    """SD or SDXL with an IP-Adapter and its image encoder, with random weights; shared by tests."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    pipeline = new(family)
    width, embedded = pipeline.unet.config.cross_attention_dim, 8
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=8,
        patch_size=4,
        projection_dim=embedded,
    )
    weights: dict[str, Any] = {}
    processors = [name for name in pipeline.unet.attn_processors if "attn2" in name]
    for number, name in enumerate(processors):
        inner = pipeline.unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            weights[f"{2 * number + 1}.{part}.weight"] = torch.randn(inner, width)
    projection = {
        "proj.weight": torch.randn(4 * width, embedded),
        "proj.bias": torch.zeros(4 * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    pipeline.unet._load_ip_adapter_weights(
        [{"image_proj": projection, "ip_adapter": weights}], low_cpu_mem_usage=False
    )
    pipeline.unet.eval().requires_grad_(False)
    pipeline.register_modules(
        image_encoder=CLIPVisionModelWithProjection(config).eval().requires_grad_(False),
        feature_extractor=_feature_extractor(),
    )
    return pipeline


def _feature_extractor() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(crop_size=8, size=8)
