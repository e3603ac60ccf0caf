"""The variants of pipelines with a transformer: PixArt, SD3 and Flux."""

from collections.abc import Callable
from typing import Any

import diffusers
import torch

from tests.helpers.pipelines import PROMPTS, WIDTH, new
from tests.helpers.relatives import PICTURE, SIDE, relative, with_controlnet
from tests.variants.added import each, parts_of, with_lora
from tests.variants.unets import MASK, OTHER_SIZE, PARTLY, cut_off
from tests.variants.variant import Numbers, Variant, constant


def of_pixart() -> list[Variant]:
    return [
        *_of_every("pixart"),
        _row("pixart", "PixArt-Σ", lambda: new("sigma")),
        _row("pixart", "a negative prompt", None, lambda p, n: {"negative_prompt": "a square"}),
        _row("pixart", "guidance_scale 1", None, constant(guidance_scale=1.0)),
        _row("pixart", "prompt embeddings", None, _pixart_embeddings),
        _row("pixart", "PAG", _pixart_pag, constant(pag_scale=3.0)),
    ]


def of_sd3() -> list[Variant]:
    def kind(name: str) -> Callable[[], Any]:
        return parts_of(f"StableDiffusion3{name}Pipeline", "sd3")

    control = each(name="control_image", controlnet_conditioning_scale=1.0)
    return [
        *_of_every("sd3"),
        _row("sd3", "LoRA, fused", lambda: with_lora("sd3", fused=True)),
        _row("sd3", "image to image, strength 0.75", kind("Img2Img"), each(**PARTLY)),
        _row("sd3", "inpainting, strength 0.75", _sd3_inpaint, each(mask_image=MASK, **PARTLY)),
        _row("sd3", "ControlNet", lambda: with_controlnet("sd3"), control),
        _row(
            "sd3",
            "IP-Adapter",
            _sd3_ip_adapter,
            constant(ip_adapter_image_embeds=torch.ones(2, 3, 8).double()),
        ),
        _row("sd3", "PAG", _sd3_pag, constant(pag_scale=3.0)),
        _row(
            "sd3",
            "a negative prompt",
            None,
            lambda p, n: {"negative_prompt": ["a square"] * len(n)},
        ),
        _row("sd3", "guidance_scale 1", None, constant(guidance_scale=1.0)),
        _row("sd3", "guidance by skipped layers", None, constant(skip_guidance_layers=[1])),
        _row("sd3", "clip_skip 1", None, constant(clip_skip=1)),
        _row("sd3", "sigmas given", None, constant(sigmas=[1.0, 0.8, 0.6, 0.4, 0.2])),
        _row("sd3", "prompt embeddings", None, _sd3_embeddings),
        _row(
            "sd3",
            "SD3CFGCutoffCallback on the way",
            None,
            cut_off("SD3CFGCutoffCallback"),
        ),
    ]


def of_flux() -> list[Variant]:
    def kind(name: str) -> Callable[[], Any]:
        return parts_of(f"Flux{name}Pipeline", "flux")

    negative = {"negative_prompt": "a square"}
    control = each(name="control_image", controlnet_conditioning_scale=1.0)
    return [
        *_of_every("flux"),
        _row("flux", "LoRA, fused", lambda: with_lora("flux", fused=True)),
        _row("flux", "image to image, strength 0.75", kind("Img2Img"), each(**PARTLY)),
        _row("flux", "inpainting, strength 0.75", kind("Inpaint"), each(mask_image=MASK, **PARTLY)),
        _row("flux", "ControlNet", lambda: with_controlnet("flux"), control),
        _row("flux", "two ControlNets", _two_controlnets, _two_pictures),
        _row(
            "flux",
            "ControlNet, image to image",
            _controlnet_img2img,
            each(control_image=PICTURE, controlnet_conditioning_scale=1.0, **PARTLY),
        ),
        _row(
            "flux",
            "Control (a picture in the channels)",
            lambda: _channels("Control", 2),
            each(name="control_image"),
        ),
        _row("flux", "Fill", _fill, each(mask_image=MASK)),
        _row("flux", "Kontext", kind("Kontext"), each(_auto_resize=False, max_area=SIDE * SIDE)),
        _row(
            "flux",
            "IP-Adapter",
            _flux_ip_adapter,
            lambda p, n: {
                "ip_adapter_image_embeds": [torch.ones(len(n), 1, 8).double()],
                "negative_ip_adapter_image_embeds": [torch.zeros(len(n), 1, 8).double()],
            },
        ),
        _row(
            "flux",
            "true_cfg_scale 2 (two passes a step)",
            None,
            constant(true_cfg_scale=2.0, **negative),
        ),
        _row(
            "flux",
            "without guidance as an input (Flux schnell)",
            _schnell,
            constant(guidance_scale=0.0),
        ),
        _row("flux", "sigmas given", None, constant(sigmas=[1.0, 0.8, 0.6, 0.4, 0.2])),
        _row("flux", "prompt embeddings", None, _flux_embeddings),
    ]


def _row(family: str, name: str, make: Any = None, arguments: Any = None, **more: Any) -> Variant:
    return Variant(
        family=family,
        name=name,
        make=make or (lambda: new(family)),
        arguments=arguments or constant(),
        **more,
    )


def _of_every(family: str) -> list[Variant]:
    return [
        _row(family, "text to image"),
        _row(family, "LoRA", lambda: with_lora(family)),
        _row(
            family,
            "two pictures for each prompt",
            None,
            constant(num_images_per_prompt=2),
            pictures=2,
        ),
        _row(family, "32 × 24 pixels", None, constant(**OTHER_SIZE)),
        _row(
            family,
            "latents as output, return_dict=False",
            None,
            constant(output_type="latent", return_dict=False),
        ),
        _row(family, "VAE tiling", lambda: _tiled(family)),
    ]


def _tiled(family: str) -> Any:
    pipeline = new(family)
    pipeline.vae.enable_tiling()
    return pipeline


def _encoded(pipeline: Any, numbers: Numbers, **more: Any) -> Any:
    texts = [PROMPTS[number] for number in numbers]
    return pipeline.encode_prompt(
        prompt=texts, device=torch.device("cpu"), max_sequence_length=16, **more
    )


def _pixart_embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    names = ("prompt_embeds", "prompt_attention_mask")
    names += ("negative_prompt_embeds", "negative_prompt_attention_mask")
    values = _encoded(pipeline, numbers)
    return {"prompt": None, "negative_prompt": None, **dict(zip(names, values, strict=True))}


def _sd3_embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds")
    names += ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    values = _encoded(pipeline, numbers, prompt_2=None, prompt_3=None)
    return {"prompt": None, **dict(zip(names, values, strict=True))}


def _flux_embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    prompts, pooled, _ = _encoded(pipeline, numbers, prompt_2=None)
    return {"prompt": None, "prompt_embeds": prompts, "pooled_prompt_embeds": pooled}


def _pixart_pag() -> Any:
    base = new("sigma").components
    return diffusers.PixArtSigmaPAGPipeline(**base, pag_applied_layers=["blocks.1"])


def _sd3_pag() -> Any:
    base = {k: v for k, v in new("sd3").components.items() if "image_enc" not in k}
    base.pop("feature_extractor", None)
    return diffusers.StableDiffusion3PAGPipeline(**base, pag_applied_layers=["blocks.2"])


def _sd3_inpaint() -> Any:
    """SD3's inpainting needs 16 channels, or 33 with the mask and the masked picture."""
    base = new("sd3")
    torch.manual_seed(0)
    config = {k: v for k, v in dict(base.transformer.config).items() if not k.startswith("_")}
    transformer = diffusers.SD3Transformer2DModel(
        **config | {"in_channels": 16, "out_channels": 16}
    )
    vae = diffusers.AutoencoderKL.from_config(dict(base.vae.config) | {"latent_channels": 16})
    return relative("StableDiffusion3InpaintPipeline", "sd3", transformer=transformer, vae=vae)


def _two_controlnets() -> Any:
    pipeline = with_controlnet("flux")
    other = with_controlnet("flux").controlnet
    nets = diffusers.FluxMultiControlNetModel([pipeline.controlnet, other])
    return relative("FluxControlNetPipeline", "flux", controlnet=nets)


def _two_pictures(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    picture = [PICTURE] * len(numbers)
    return {"control_image": [picture, picture], "controlnet_conditioning_scale": [0.7, 0.7]}


def _controlnet_img2img() -> Any:
    net = with_controlnet("flux").controlnet
    return relative("FluxControlNetImg2ImgPipeline", "flux", controlnet=net)


def _transformer(**changes: Any) -> Any:
    config = dict(new("flux").transformer.config)
    known = {k: v for k, v in config.items() if not k.startswith("_")}
    torch.manual_seed(1)
    return diffusers.FluxTransformer2DModel(**known | changes)


def _channels(kind: str, factor: int) -> Any:
    transformer = _transformer(in_channels=16 * factor, out_channels=16)
    return relative(f"Flux{kind}Pipeline", "flux", transformer=transformer)


def _fill() -> Any:
    # the latents (16), those of the masked picture (16), and the mask: 2x2 pixels of a 2x2 patch
    return relative(
        "FluxFillPipeline", "flux", transformer=_transformer(in_channels=48, out_channels=16)
    )


def _schnell() -> Any:
    return relative("FluxPipeline", "flux", transformer=_transformer(guidance_embeds=False))


def _flux_ip_adapter() -> Any:
    """Flux with an IP-Adapter: what `load_ip_adapter` puts on the transformer."""
    from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
    from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor

    pipeline = new("flux")
    transformer = pipeline.transformer
    torch.manual_seed(0)
    processors = dict(transformer.attn_processors)
    for name in processors:
        if not name.startswith("single"):
            processors[name] = FluxIPAdapterAttnProcessor(
                hidden_size=WIDTH, cross_attention_dim=WIDTH, num_tokens=(4,)
            )
    transformer.set_attn_processor(processors)
    projection = ImageProjection(
        image_embed_dim=8, cross_attention_dim=WIDTH, num_image_text_embeds=4
    )
    transformer.encoder_hid_proj = MultiIPAdapterImageProjection([projection])
    transformer.config.encoder_hid_dim_type = "ip_image_proj"
    return pipeline


def _sd3_ip_adapter() -> Any:
    """SD3 with an IP-Adapter: what `load_ip_adapter` puts on the transformer."""
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
    from diffusers.models.embeddings import IPAdapterTimeImageProjection

    pipeline = new("sd3")
    transformer = pipeline.transformer
    torch.manual_seed(0)
    transformer.set_attn_processor(
        {
            name: processor
            if "attn2" in name
            else SD3IPAdapterJointAttnProcessor2_0(
                hidden_size=16, ip_hidden_states_dim=16, head_dim=8, timesteps_emb_dim=8
            )
            for name, processor in transformer.attn_processors.items()
        }
    )
    transformer.image_proj = IPAdapterTimeImageProjection(
        embed_dim=8,
        output_dim=16,
        hidden_dim=8,
        depth=1,
        dim_head=8,
        heads=1,
        num_queries=2,
        timestep_in_dim=8,
    )
    return pipeline
