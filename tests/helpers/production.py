"""A pipeline as a service runs it, tiny and with random weights, and the arguments of its call.

Image to image with a ControlNet and a LoRA that is not fused. The functions are also named on the
command line, as in `--pipeline production.py:make_pipeline`.
"""

from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel
from peft import LoraConfig
from PIL import Image

from tests.helpers.relatives import SIDE, relative

PROMPTS = ("a red circle", "a blue ring", "a green square", "a yellow ring")
SCALE = 0.5  # of the LoRA


def make_pipeline() -> Any:
    torch.manual_seed(1)
    base = relative("StableDiffusionPipeline", "sd")
    net = ControlNetModel.from_unet(base.unet, conditioning_embedding_out_channels=(4, 8))
    for block in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(block.weight, std=0.1)
    pipeline = relative(
        "StableDiffusionControlNetImg2ImgPipeline",
        "sd",
        unet=base.unet,
        controlnet=net.eval().requires_grad_(False),
    )
    lora = LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    pipeline.unet.add_adapter(lora, adapter_name="poster")
    pipeline.unet.eval().requires_grad_(False)
    pipeline.set_adapters(["poster"], [SCALE])
    return pipeline


def picture(seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    return Image.fromarray(values)


def make_call() -> dict[str, Any]:
    """One picture for each of `PROMPTS`, and the other arguments for all of them."""
    return {
        "image": [picture(number) for number in range(len(PROMPTS))],
        "control_image": picture(9),
        "strength": 0.6,
        "num_inference_steps": 5,
        "guidance_scale": 3.0,
        "negative_prompt": "blurry",
        "controlnet_conditioning_scale": 0.7,
    }
