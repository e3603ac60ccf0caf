"""The variants that only Stable Diffusion has, those that SDXL treats alike, and SDXL's own."""

from collections.abc import Callable
from typing import Any

import diffusers
import torch

from tests.helpers.pipelines import LATENT_SIDE, new
from tests.helpers.relatives import PICTURE, relative, unet
from tests.variants.added import (
    blended,
    changed,
    controlnet,
    each,
    ip_adapter,
    other_lora,
    parts_of,
    with_lora,
    with_new_word,
)
from tests.variants.unets import MASK, PARTLY, cut_off
from tests.variants.variant import Numbers, Variant, constant, row

FIVE = [999, 730, 443, 193, 53]


def _nine_channels() -> Any:
    return unet(in_channels=9)


def _lcm() -> Any:
    pipeline = relative("StableDiffusionPipeline", "sd", unet=unet(time_cond_proj_dim=8))
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    return pipeline


def _panorama() -> Any:
    return relative("StableDiffusionPanoramaPipeline", "sd")


def scheduled(kind: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        pipeline = new("sd")
        config = pipeline.scheduler.config
        pipeline.scheduler = getattr(diffusers, kind).from_config(config, **options)
        return pipeline

    return make


def noise(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    torch.manual_seed(5)
    latents = torch.randn(3, 4, LATENT_SIDE, LATENT_SIDE, dtype=torch.float64)
    return {"latents": latents[list(numbers)], "generator": None}


def _ending_ip_adapter(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    pipeline.set_ip_adapter_scale(0.6)  # the callback of the last call has set it to 0
    return {"ip_adapter_image": PICTURE, **cut_off("IPAdapterScaleCutoffCallback")()}


def kind(name: str, **parts: Any) -> Callable[[], Any]:
    return parts_of(f"StableDiffusion{name}Pipeline", "sd", **parts)


def net() -> Any:
    return controlnet("sd")


OF_SD: list[Variant] = [
    row(
        "sd",
        "ControlNet for the first half of the steps",
        kind("ControlNet", controlnet=net),
        each(control_guidance_end=0.5),
    ),
    row(
        "sd",
        "ControlNet, image to image",
        kind("ControlNetImg2Img", controlnet=net),
        each(control_image=PICTURE, **PARTLY),
    ),
    row(
        "sd",
        "ControlNet, inpainting",
        kind("ControlNetInpaint", controlnet=net),
        each(mask_image=MASK, control_image=PICTURE, **PARTLY),
    ),
    row("sd", "two LoRAs with weights", lambda: with_lora("sd", adapters=2)),
    row(
        "sd",
        "LoRA changed by a callback",
        lambda: with_lora("sd"),
        constant(callback_on_step_end=other_lora),
    ),
    row(
        "sd",
        "IP-Adapter that a callback ends",
        lambda: ip_adapter("sd"),
        _ending_ip_adapter,
    ),
    row("sd", "textual inversion", lambda: with_new_word("sd")),
    row(
        "sd", "4 steps without guidance", None, constant(guidance_scale=0.0, num_inference_steps=4)
    ),
    row("sd", "guidance_rescale 0.7", None, constant(guidance_rescale=0.7)),
    row("sd", "eta 1 (DDIM)", None, constant(eta=1.0)),
    row(
        "sd",
        "timesteps given",
        scheduled("DPMSolverMultistepScheduler"),
        constant(timesteps=FIVE),
    ),
    row(
        "sd",
        "sigmas given",
        scheduled("EulerDiscreteScheduler"),
        constant(sigmas=[14.6, 6.3, 2.2, 0.8, 0.1]),
    ),
    row("sd", "Euler a", scheduled("EulerAncestralDiscreteScheduler")),
    row(
        "sd",
        "DPM++ 2M Karras",
        scheduled("DPMSolverMultistepScheduler", use_karras_sigmas=True),
    ),
    row("sd", "LCM scheduler", scheduled("LCMScheduler")),
    row("sd", "Heun, two passes a step", scheduled("HeunDiscreteScheduler")),
    row("sd", "noise given as latents", None, noise),
    row("sd", "fused QKV projections", changed("sd", lambda pipe: pipe.fuse_qkv_projections())),
    row("sd", "attention slicing", changed("sd", lambda pipe: pipe.enable_attention_slicing())),
    row(
        "sd",
        "VAE slicing and tiling",
        changed("sd", lambda p: (p.vae.enable_slicing(), p.vae.enable_tiling())),
    ),
    row(
        "sd",
        "latents blended at each step (DifferentialDiffusion)",
        None,
        constant(callback_on_step_end=blended),
    ),
    row(
        "sd",
        "inpainting model (9 channels)",
        kind("Inpaint", unet=_nine_channels),
        each(mask_image=MASK, strength=1.0),
    ),
    row(
        "sd",
        "InstructPix2Pix",
        parts_of("StableDiffusionInstructPix2PixPipeline", "sd", unet=lambda: unet(in_channels=8)),
        each(),
    ),
    row("sd", "LCM U-Net, guidance as an input", _lcm),
    row(
        "sd",
        "self-attention guidance (SAG)",
        kind("SAG"),
        constant(sag_scale=0.7),
    ),
    row("sd", "panorama", _panorama, constant(width=64, view_batch_size=1)),
    row(
        "sd",
        "SEGA",
        parts_of("SemanticStableDiffusionPipeline", "sd"),
        constant(editing_prompt=["a square"], edit_guidance_scale=5.0, edit_warmup_steps=1),
    ),
]

OF_SDXL: list[Variant] = [
    # Stable Diffusion's pipelines fail at it with this version of transformers.
    row("sdxl", "clip_skip 1", None, constant(clip_skip=1)),
    row(
        "sdxl",
        "micro-conditioning",
        None,
        constant(
            original_size=(64, 32),
            crops_coords_top_left=(4, 0),
            target_size=(16, 16),
            negative_original_size=(8, 8),
            negative_target_size=(16, 16),
        ),
    ),
    row(
        "sdxl",
        "prompts for the second text encoder",
        None,
        lambda p, n: {
            "prompt_2": ["a green square"] * len(n),
            "negative_prompt_2": ["a blue ring"] * len(n),
        },
    ),
    row(
        "sdxl",
        "base until the half (denoising_end)",
        None,
        constant(denoising_end=0.5, num_inference_steps=10),
    ),
    row(
        "sdxl",
        "refiner from the half (denoising_start)",
        parts_of("StableDiffusionXLImg2ImgPipeline", "sdxl"),
        each(denoising_start=0.5, num_inference_steps=10),
    ),
]
