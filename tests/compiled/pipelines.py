"""A small pipeline whose U-Net compiles in seconds, and how many graphs were compiled."""

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch._dynamo.utils import counters

from tests.helpers.parts import LATENT_SIDE, WIDTH
from tests.helpers.pipelines import sd


def small() -> StableDiffusionPipeline:
    """SD1.5's blocks on two levels only: six skip branches, self-attention on the upper level."""
    pipeline = sd()
    torch.manual_seed(0)
    pipeline.unet = UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=(8, 16),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    pipeline.unet.eval().requires_grad_(False)
    return pipeline


def compiled_graphs() -> int:
    """The number of graphs that this process has compiled, of any model."""
    return int(counters["stats"]["unique_graphs"])
