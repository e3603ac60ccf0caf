"""The variants of pipelines with a U-Net."""

from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import torch
from diffusers import callbacks
from PIL import Image

from tests.helpers.pipelines import PROMPTS, new
from tests.helpers.relatives import PICTURE, SIDE
from tests.variants.added import (
    changed,
    controlnet,
    each,
    ip_adapter,
    parts_of,
    t2i_adapter,
    with_lora,
)
from tests.variants.variant import Numbers, Variant, constant, row

MASK = Image.new("L", (SIDE, SIDE), 0)
MASK.paste(255, (0, 0, SIDE // 2, SIDE))
PARTLY = {"strength": 0.75, "num_inference_steps": 7}  # five steps run
OTHER_SIZE = {"height": 2 * SIDE, "width": SIDE + SIDE // 2}


def embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    """What the text encoders make of the prompts."""
    texts = [PROMPTS[number] for number in numbers]
    values = pipeline.encode_prompt(
        texts, device=torch.device("cpu"), num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    names = ("prompt_embeds", "negative_prompt_embeds")
    names += ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    return {"prompt": None, **dict(zip(names, values, strict=False))}


def cut_off(name: str) -> Callable[..., dict[str, Any]]:
    """A new callback of diffusers that ends guidance, or an IP-Adapter, after two steps."""
    kind = getattr(callbacks, name)
    return lambda *_: {"callback_on_step_end": kind(cutoff_step_ratio=None, cutoff_step_index=1)}


def several(number: int) -> Callable[..., dict[str, Any]]:
    return lambda pipeline, numbers: {
        "image": [PICTURE] * number,
        "controlnet_conditioning_scale": [0.7] * number,
    }


def shared_by_two(kind: str, family: str) -> Callable[[], Any]:
    """Another pipeline's U-Net: made by `from_pipe`."""
    return lambda: getattr(diffusers, kind).from_pipe(new(family))


def of_both(family: str, prefix: str) -> list[Variant]:
    """What Stable Diffusion and SDXL have in common."""
    make_row = partial(row, family)
    return [
        make_row("text to image"),
        *_of_classes(make_row, family, prefix),
        *_of_calls(make_row, family),
    ]


def _of_classes(row: Callable[..., Variant], family: str, prefix: str) -> list[Variant]:
    """Other classes of pipelines, and parts that are added."""

    def kind(name: str, **parts: Any) -> Callable[[], Any]:
        return parts_of(f"{prefix}{name}Pipeline", family, **parts)

    def net() -> Any:
        return controlnet(family)

    return [
        row("image to image, strength 0.75", kind("Img2Img"), each(**PARTLY)),
        row("inpainting, strength 0.75", kind("Inpaint"), each(mask_image=MASK, **PARTLY)),
        row("ControlNet", kind("ControlNet", controlnet=net), each()),
        row(
            "two ControlNets",
            kind("ControlNet", controlnet=lambda: [net(), controlnet(family, seed=1)]),
            several(2),
        ),
        row("T2I-Adapter", kind("Adapter", adapter=lambda: t2i_adapter(family)), each()),
        row("LoRA", lambda: with_lora(family)),
        row(
            "LoRA, scale 0.5 by cross_attention_kwargs",
            lambda: with_lora(family),
            constant(cross_attention_kwargs={"scale": 0.5}),
        ),
        row("LoRA, fused", lambda: with_lora(family, fused=True)),
        row("IP-Adapter", lambda: ip_adapter(family), constant(ip_adapter_image=PICTURE)),
        row("PAG", kind("PAG"), constant(pag_scale=3.0)),
        row(
            "image to image on a U-Net shared by from_pipe",
            shared_by_two(f"{prefix}Img2ImgPipeline", family),
            each(**PARTLY),
        ),
    ]


def _of_calls(row: Callable[..., Variant], family: str) -> list[Variant]:
    """Other arguments of the same pipeline."""
    cutoff = "SDCFGCutoffCallback" if family == "sd" else "SDXLCFGCutoffCallback"
    return [
        row("a negative prompt", None, lambda p, n: {"negative_prompt": ["a square"] * len(n)}),
        row("guidance_scale 1", None, constant(guidance_scale=1.0)),
        row("prompt embeddings", None, embeddings),
        row("two pictures for each prompt", None, constant(num_images_per_prompt=2), pictures=2),
        row(
            "latents as output, return_dict=False",
            None,
            constant(output_type="latent", return_dict=False),
        ),
        row("32 × 24 pixels", None, constant(**OTHER_SIZE)),
        row("FreeU", changed(family, lambda pipe: pipe.enable_freeu(0.9, 0.2, 1.2, 1.4))),
        row(f"{cutoff} on the way", None, cut_off(cutoff), prompts=(0,)),
    ]
