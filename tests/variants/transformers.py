"""The variants of pipelines with a transformer: PixArt, SD3 and Flux."""

import torch

from tests.helpers.pipelines import new
from tests.helpers.relatives import PICTURE, SIDE, with_controlnet
from tests.variants.added import each, parts_of, with_lora
from tests.variants.transformer_parts import (
    channels,
    controlnet_img2img,
    fill,
    flux_embeddings,
    flux_ip_adapter,
    pixart_embeddings,
    pixart_pag,
    schnell,
    sd3_embeddings,
    sd3_inpaint,
    sd3_ip_adapter,
    sd3_pag,
    tiled,
    two_controlnets,
    two_pictures,
)
from tests.variants.unets import MASK, OTHER_SIZE, PARTLY, cut_off
from tests.variants.variant import Variant, constant, row


def _of_every(family: str) -> list[Variant]:
    return [
        row(family, "text to image"),
        row(family, "LoRA", lambda: with_lora(family)),
        row(
            family,
            "two pictures for each prompt",
            None,
            constant(num_images_per_prompt=2),
            pictures=2,
        ),
        row(family, "32 × 24 pixels", None, constant(**OTHER_SIZE)),
        row(
            family,
            "latents as output, return_dict=False",
            None,
            constant(output_type="latent", return_dict=False),
        ),
        row(family, "VAE tiling", lambda: tiled(family)),
    ]


CONTROLLED = each(name="control_image", controlnet_conditioning_scale=1.0)

OF_PIXART: list[Variant] = [
    *_of_every("pixart"),
    row("pixart", "PixArt-Σ", lambda: new("sigma")),
    row("pixart", "a negative prompt", None, lambda p, n: {"negative_prompt": "a square"}),
    row("pixart", "guidance_scale 1", None, constant(guidance_scale=1.0)),
    row("pixart", "prompt embeddings", None, pixart_embeddings),
    row("pixart", "PAG", pixart_pag, constant(pag_scale=3.0)),
]

OF_SD3: list[Variant] = [
    *_of_every("sd3"),
    row("sd3", "LoRA, fused", lambda: with_lora("sd3", fused=True)),
    row(
        "sd3",
        "image to image, strength 0.75",
        parts_of("StableDiffusion3Img2ImgPipeline", "sd3"),
        each(**PARTLY),
    ),
    row(
        "sd3",
        "inpainting, strength 0.75",
        sd3_inpaint,
        each(mask_image=MASK, **PARTLY),
    ),
    row(
        "sd3",
        "ControlNet",
        lambda: with_controlnet("sd3"),
        CONTROLLED,
    ),
    row(
        "sd3",
        "IP-Adapter",
        sd3_ip_adapter,
        constant(ip_adapter_image_embeds=torch.ones(2, 3, 8).double()),
    ),
    row("sd3", "PAG", sd3_pag, constant(pag_scale=3.0)),
    row(
        "sd3",
        "a negative prompt",
        None,
        lambda p, n: {"negative_prompt": ["a square"] * len(n)},
    ),
    row("sd3", "guidance_scale 1", None, constant(guidance_scale=1.0)),
    row("sd3", "guidance by skipped layers", None, constant(skip_guidance_layers=[1])),
    row("sd3", "clip_skip 1", None, constant(clip_skip=1)),
    row("sd3", "sigmas given", None, constant(sigmas=[1.0, 0.8, 0.6, 0.4, 0.2])),
    row("sd3", "prompt embeddings", None, sd3_embeddings),
    row(
        "sd3",
        "SD3CFGCutoffCallback on the way",
        None,
        cut_off("SD3CFGCutoffCallback"),
    ),
]

OF_FLUX: list[Variant] = [
    *_of_every("flux"),
    row("flux", "LoRA, fused", lambda: with_lora("flux", fused=True)),
    row(
        "flux",
        "image to image, strength 0.75",
        parts_of("FluxImg2ImgPipeline", "flux"),
        each(**PARTLY),
    ),
    row(
        "flux",
        "inpainting, strength 0.75",
        parts_of("FluxInpaintPipeline", "flux"),
        each(mask_image=MASK, **PARTLY),
    ),
    row(
        "flux",
        "ControlNet",
        lambda: with_controlnet("flux"),
        CONTROLLED,
    ),
    row("flux", "two ControlNets", two_controlnets, two_pictures),
    row(
        "flux",
        "ControlNet, image to image",
        controlnet_img2img,
        each(control_image=PICTURE, controlnet_conditioning_scale=1.0, **PARTLY),
    ),
    row(
        "flux",
        "Control (a picture in the channels)",
        lambda: channels("Control", 2),
        each(name="control_image"),
    ),
    row("flux", "Fill", fill, each(mask_image=MASK)),
    row(
        "flux",
        "Kontext",
        parts_of("FluxKontextPipeline", "flux"),
        each(_auto_resize=False, max_area=SIDE * SIDE),
    ),
    row(
        "flux",
        "IP-Adapter",
        flux_ip_adapter,
        lambda p, n: {
            "ip_adapter_image_embeds": [torch.ones(len(n), 1, 8).double()],
            "negative_ip_adapter_image_embeds": [torch.zeros(len(n), 1, 8).double()],
        },
    ),
    row(
        "flux",
        "true_cfg_scale 2 (two passes a step)",
        None,
        constant(true_cfg_scale=2.0, negative_prompt="a square"),
    ),
    row(
        "flux",
        "without guidance as an input (Flux schnell)",
        schnell,
        constant(guidance_scale=0.0),
    ),
    row("flux", "sigmas given", None, constant(sigmas=[1.0, 0.8, 0.6, 0.4, 0.2])),
    row("flux", "prompt embeddings", None, flux_embeddings),
]
