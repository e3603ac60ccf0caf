"""The variants of pipelines with a U-Net."""

from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers import callbacks
from PIL import Image

from tests.helpers.pipelines import LATENT_SIDE, PROMPTS, new
from tests.helpers.relatives import PICTURE, SIDE
from tests.variants.added import (
    blended,
    changed,
    controlnet,
    each,
    ip_adapter,
    other_lora,
    parts_of,
    t2i_adapter,
    with_lora,
    with_new_word,
)
from tests.variants.variant import Numbers, Variant, constant

MASK = Image.new("L", (SIDE, SIDE), 0)
MASK.paste(255, (0, 0, SIDE // 2, SIDE))
PARTLY = {"strength": 0.75, "num_inference_steps": 12}  # nine steps run
TEN = [999, 845, 730, 587, 443, 310, 193, 116, 53, 13]  # Align Your Steps
OTHER_SIZE = {"height": 2 * SIDE, "width": SIDE + SIDE // 2}


def scheduled(family: str, kind: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        pipeline = new(family)
        config = pipeline.scheduler.config
        pipeline.scheduler = getattr(diffusers, kind).from_config(config, **options)
        return pipeline

    return make


def embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    """What the text encoders make of the prompts."""
    texts = [PROMPTS[number] for number in numbers]
    values = pipeline.encode_prompt(
        texts, device=torch.device("cpu"), num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    names = ("prompt_embeds", "negative_prompt_embeds")
    names += ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    return {"prompt": None, **dict(zip(names, values, strict=False))}


def noise(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    torch.manual_seed(5)
    latents = torch.randn(3, 4, LATENT_SIDE, LATENT_SIDE, dtype=torch.float64)
    return {"latents": latents[list(numbers)], "generator": None}


def cut_off(name: str) -> Callable[..., dict[str, Any]]:
    """A new callback of diffusers that ends guidance, or an IP-Adapter, after four steps."""
    kind = getattr(callbacks, name)
    return lambda *_: {"callback_on_step_end": kind(cutoff_step_ratio=None, cutoff_step_index=4)}


def _ending_ip_adapter(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    pipeline.set_ip_adapter_scale(0.6)  # the callback of the last call has set it to 0
    return {"ip_adapter_image": PICTURE, **cut_off("IPAdapterScaleCutoffCallback")()}


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

    def row(name: str, make: Any = None, arguments: Any = None, **more: Any) -> Variant:
        return Variant(
            family=family,
            name=name,
            make=make or (lambda: new(family)),
            arguments=arguments or constant(),
            **more,
        )

    def kind(name: str, **parts: Any) -> Callable[[], Any]:
        return parts_of(f"{prefix}{name}Pipeline", family, **parts)

    def net() -> Any:
        return controlnet(family)

    cutoff = "SDCFGCutoffCallback" if family == "sd" else "SDXLCFGCutoffCallback"
    return [
        row("text to image"),
        row("image to image, strength 0.75", kind("Img2Img"), each(**PARTLY)),
        row("inpainting, strength 0.75", kind("Inpaint"), each(mask_image=MASK, **PARTLY)),
        row("ControlNet", kind("ControlNet", controlnet=net), each()),
        row(
            "two ControlNets",
            kind("ControlNet", controlnet=lambda: [net(), controlnet(family, seed=1)]),
            several(2),
        ),
        row(
            "ControlNet for the first half of the steps",
            kind("ControlNet", controlnet=net),
            each(control_guidance_end=0.5),
        ),
        row(
            "ControlNet, image to image",
            kind("ControlNetImg2Img", controlnet=net),
            each(control_image=PICTURE, **PARTLY),
        ),
        row(
            "ControlNet, inpainting",
            kind("ControlNetInpaint", controlnet=net),
            each(mask_image=MASK, control_image=PICTURE, **PARTLY),
        ),
        row("T2I-Adapter", kind("Adapter", adapter=lambda: t2i_adapter(family)), each()),
        row("LoRA", lambda: with_lora(family)),
        row(
            "LoRA, scale 0.5 by cross_attention_kwargs",
            lambda: with_lora(family),
            constant(cross_attention_kwargs={"scale": 0.5}),
        ),
        row("two LoRAs with weights", lambda: with_lora(family, adapters=2)),
        row("LoRA, fused", lambda: with_lora(family, fused=True)),
        row(
            "LoRA changed by a callback",
            lambda: with_lora(family),
            constant(callback_on_step_end=other_lora),
        ),
        row("IP-Adapter", lambda: ip_adapter(family), constant(ip_adapter_image=PICTURE)),
        row(
            "IP-Adapter that a callback ends",
            lambda: ip_adapter(family),
            _ending_ip_adapter,
        ),
        row("textual inversion", lambda: with_new_word(family)),
        row("PAG", kind("PAG"), constant(pag_scale=3.0)),
        row("PAG with pag_scale 0", kind("PAG"), constant(pag_scale=0.0)),
        row("a negative prompt", None, lambda p, n: {"negative_prompt": ["a square"] * len(n)}),
        row("guidance_scale 1", None, constant(guidance_scale=1.0)),
        row("guidance_scale 0", None, constant(guidance_scale=0.0)),
        row("4 steps without guidance", None, constant(guidance_scale=0.0, num_inference_steps=4)),
        row("guidance_rescale 0.7", None, constant(guidance_rescale=0.7)),
        row("eta 1 (DDIM)", None, constant(eta=1.0)),
        row(
            "timesteps given",
            scheduled(family, "DPMSolverMultistepScheduler"),
            constant(timesteps=TEN),
        ),
        row(
            "sigmas given",
            scheduled(family, "EulerDiscreteScheduler"),
            constant(sigmas=[14.6, 6.3, 3.8, 2.2, 1.3, 0.8, 0.4, 0.1]),
        ),
        row("Euler a", scheduled(family, "EulerAncestralDiscreteScheduler")),
        row(
            "DPM++ 2M Karras",
            scheduled(family, "DPMSolverMultistepScheduler", use_karras_sigmas=True),
        ),
        row("LCM scheduler", scheduled(family, "LCMScheduler"), constant(num_inference_steps=8)),
        row("Heun, two passes a step", scheduled(family, "HeunDiscreteScheduler")),
        row("prompt embeddings", None, embeddings),
        row("two pictures for each prompt", None, constant(num_images_per_prompt=2), pictures=2),
        row("noise given as latents", None, noise),
        row("latents as output", None, constant(output_type="latent")),
        row("return_dict=False", None, constant(return_dict=False)),
        row("32 × 24 pixels", None, constant(**OTHER_SIZE)),
        row("FreeU", changed(family, lambda pipe: pipe.enable_freeu(0.9, 0.2, 1.2, 1.4))),
        row("fused QKV projections", changed(family, lambda pipe: pipe.fuse_qkv_projections())),
        row("attention slicing", changed(family, lambda pipe: pipe.enable_attention_slicing())),
        row(
            "VAE slicing and tiling",
            changed(family, lambda p: (p.vae.enable_slicing(), p.vae.enable_tiling())),
        ),
        row(f"{cutoff} after half of the steps", None, cut_off(cutoff), prompts=(0,)),
        row(
            "latents blended at each step (DifferentialDiffusion)",
            None,
            constant(callback_on_step_end=blended),
        ),
        row(
            "image to image on a U-Net shared by from_pipe",
            shared_by_two(f"{prefix}Img2ImgPipeline", family),
            each(**PARTLY),
        ),
    ]
