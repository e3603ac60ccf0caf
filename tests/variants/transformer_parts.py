"""Pipelines of PixArt, SD3 and Flux with other parts, and the embeddings of their prompts."""

from typing import Any

import diffusers
import torch

from tests.helpers.pipelines import PROMPTS, WIDTH, new
from tests.helpers.relatives import PICTURE, relative, with_controlnet
from tests.variants.variant import Numbers


def tiled(family: str) -> Any:
    pipeline = new(family)
    pipeline.vae.enable_tiling()
    return pipeline


def encoded(pipeline: Any, numbers: Numbers, **more: Any) -> Any:
    texts = [PROMPTS[number] for number in numbers]
    return pipeline.encode_prompt(
        prompt=texts, device=torch.device("cpu"), max_sequence_length=16, **more
    )


def pixart_embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    names = ("prompt_embeds", "prompt_attention_mask")
    names += ("negative_prompt_embeds", "negative_prompt_attention_mask")
    values = encoded(pipeline, numbers)
    return {"prompt": None, "negative_prompt": None, **dict(zip(names, values, strict=True))}


def sd3_embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds")
    names += ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    values = encoded(pipeline, numbers, prompt_2=None, prompt_3=None)
    return {"prompt": None, **dict(zip(names, values, strict=True))}


def flux_embeddings(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    prompts, pooled, _ = encoded(pipeline, numbers, prompt_2=None)
    return {"prompt": None, "prompt_embeds": prompts, "pooled_prompt_embeds": pooled}


def pixart_pag() -> Any:
    base = new("sigma").components
    return diffusers.PixArtSigmaPAGPipeline(**base, pag_applied_layers=["blocks.1"])


def sd3_pag() -> Any:
    base = {k: v for k, v in new("sd3").components.items() if "image_enc" not in k}
    base.pop("feature_extractor", None)
    return diffusers.StableDiffusion3PAGPipeline(**base, pag_applied_layers=["blocks.2"])


def sd3_inpaint() -> Any:
    """SD3's inpainting needs 16 channels, or 33 with the mask and the masked picture."""
    base = new("sd3")
    torch.manual_seed(0)
    config = {k: v for k, v in dict(base.transformer.config).items() if not k.startswith("_")}
    transformer = diffusers.SD3Transformer2DModel(
        **config | {"in_channels": 16, "out_channels": 16}
    )
    vae = diffusers.AutoencoderKL.from_config(dict(base.vae.config) | {"latent_channels": 16})
    return relative("StableDiffusion3InpaintPipeline", "sd3", transformer=transformer, vae=vae)


def two_controlnets() -> Any:
    pipeline = with_controlnet("flux")
    other = with_controlnet("flux").controlnet
    nets = diffusers.FluxMultiControlNetModel([pipeline.controlnet, other])
    return relative("FluxControlNetPipeline", "flux", controlnet=nets)


def two_pictures(pipeline: Any, numbers: Numbers) -> dict[str, Any]:
    picture = [PICTURE] * len(numbers)
    return {"control_image": [picture, picture], "controlnet_conditioning_scale": [0.7, 0.7]}


def controlnet_img2img() -> Any:
    net = with_controlnet("flux").controlnet
    return relative("FluxControlNetImg2ImgPipeline", "flux", controlnet=net)


def flux_transformer(**changes: Any) -> Any:
    config = dict(new("flux").transformer.config)
    known = {k: v for k, v in config.items() if not k.startswith("_")}
    torch.manual_seed(1)
    return diffusers.FluxTransformer2DModel(**known | changes)


def channels(kind: str, factor: int) -> Any:
    transformer = flux_transformer(in_channels=16 * factor, out_channels=16)
    return relative(f"Flux{kind}Pipeline", "flux", transformer=transformer)


def fill() -> Any:
    # the latents (16), those of the masked picture (16), and the mask: 2x2 pixels of a 2x2 patch
    return relative(
        "FluxFillPipeline", "flux", transformer=flux_transformer(in_channels=48, out_channels=16)
    )


def schnell() -> Any:
    return relative("FluxPipeline", "flux", transformer=flux_transformer(guidance_embeds=False))


def flux_ip_adapter() -> Any:
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


def sd3_ip_adapter() -> Any:
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
