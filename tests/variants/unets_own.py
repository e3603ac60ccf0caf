"""The variants that only Stable Diffusion has, and those that only SDXL has."""

from typing import Any

import diffusers

from tests.helpers.pipelines import new
from tests.helpers.relatives import relative, unet
from tests.variants.added import each, parts_of
from tests.variants.unets import MASK
from tests.variants.variant import Variant, constant


def _nine_channels() -> Any:
    return unet(in_channels=9)


def _lcm() -> Any:
    pipeline = relative("StableDiffusionPipeline", "sd", unet=unet(time_cond_proj_dim=8))
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    return pipeline


def _panorama() -> Any:
    return relative("StableDiffusionPanoramaPipeline", "sd")


def of_sd() -> list[Variant]:
    def row(name: str, make: Any, arguments: Any = None) -> Variant:
        return Variant(family="sd", name=name, make=make, arguments=arguments or constant())

    return [
        row(
            "inpainting model (9 channels)",
            parts_of("StableDiffusionInpaintPipeline", "sd", unet=_nine_channels),
            each(mask_image=MASK, strength=1.0),
        ),
        row(
            "InstructPix2Pix",
            parts_of(
                "StableDiffusionInstructPix2PixPipeline", "sd", unet=lambda: unet(in_channels=8)
            ),
            each(),
        ),
        row("LCM U-Net, guidance as an input", _lcm),
        row(
            "self-attention guidance (SAG)",
            parts_of("StableDiffusionSAGPipeline", "sd"),
            constant(sag_scale=0.7),
        ),
        row("panorama", _panorama, constant(width=64, view_batch_size=1)),
        row(
            "SEGA",
            parts_of("SemanticStableDiffusionPipeline", "sd"),
            constant(editing_prompt=["a square"], edit_guidance_scale=5.0, edit_warmup_steps=1),
        ),
    ]


def of_sdxl() -> list[Variant]:
    def row(name: str, make: Any = None, arguments: Any = None) -> Variant:
        make = make or (lambda: new("sdxl"))
        return Variant(family="sdxl", name=name, make=make, arguments=arguments or constant())

    half = {"denoising_start": 0.5, "num_inference_steps": 16}
    return [
        # Stable Diffusion's pipelines fail at it with this version of transformers.
        row("clip_skip 1", None, constant(clip_skip=1)),
        row(
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
            "prompts for the second text encoder",
            None,
            lambda p, n: {
                "prompt_2": ["a green square"] * len(n),
                "negative_prompt_2": ["a blue ring"] * len(n),
            },
        ),
        row(
            "base until the half (denoising_end)",
            None,
            constant(denoising_end=0.5, num_inference_steps=16),
        ),
        row(
            "refiner from the half (denoising_start)",
            parts_of("StableDiffusionXLImg2ImgPipeline", "sdxl"),
            each(**half),
        ),
    ]
