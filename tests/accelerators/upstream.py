"""The packages as they are, and our accelerators, for comparison."""

from typing import Any

import numpy as np
import pytest
import tgate
import tomesd
import torch
from DeepCache import DeepCacheSDHelper

from tests.helpers.pipelines import PROMPTS, UNETS, pictures
from tuner.accelerators.deepcache import DeepCache
from tuner.accelerators.tgate import TGate
from tuner.accelerators.tome import ToMe
from tuner.applying.applied import applied
from tuner.pipelines.denoiser import denoiser_of

every_family = pytest.mark.parametrize("family", UNETS)

LOADERS = {
    "sd": tgate.TgateSDLoader,
    "sdxl": tgate.TgateSDXLLoader,
    "pixart": tgate.TgatePixArtAlphaLoader,
    "sigma": tgate.TgatePixArtSigmaLoader,
}
COMBINED_LOADERS = {"sd": tgate.TgateSDDeepCacheLoader, "sdxl": tgate.TgateSDXLDeepCacheLoader}
ONE = PROMPTS[:1]

# As in bug 2: the warm-up step is one that DeepCache skips.
GATED = TGate(gate_step=6, sp_interval=5, fi_interval=1, warmup=1)
CACHED = DeepCache(cache_interval=3, cache_branch_id=0)
MERGED = ToMe(ratio=0.5, max_downsample=2)


def attentions(pipeline: Any) -> dict[str, Any]:
    return {
        name: module
        for name, module in denoiser_of(pipeline).named_modules()
        if type(module).__name__ == "Attention"
    }


def raw_arguments(setting: TGate) -> dict[str, Any]:
    """The same setting under the package's own names."""
    values = setting.values()
    return {"warm_up": values.pop("warmup"), **values}


def raw_deepcache(pipeline: Any, setting: DeepCache) -> DeepCacheSDHelper:
    helper = DeepCacheSDHelper(pipe=pipeline)
    helper.set_params(**setting.values())
    helper.enable()
    return helper


def raw_tome(pipeline: Any, setting: ToMe, seed: int = 0) -> None:
    tomesd.apply_patch(pipeline, **setting.values())
    pipeline.unet._tome_info["args"]["generator"] = torch.Generator().manual_seed(seed)


def ours(pipeline: Any, *accelerators: Any, seed: int = 0, **arguments: Any) -> np.ndarray:
    with applied(pipeline, accelerators, seed=seed) as generate:
        return pictures(generate, **arguments)


class FullPasses:
    """Steps at which the U-Net's middle was computed and not taken from a cache."""

    def __init__(self, pipeline: Any) -> None:
        self.steps: list[int] = []
        self.step = -1
        self.handles = [
            pipeline.unet.register_forward_pre_hook(self.count),
            pipeline.unet.mid_block.resnets[0].register_forward_pre_hook(self.note),
        ]

    def count(self, module: Any, args: Any) -> None:
        self.step += 1

    def note(self, module: Any, args: Any) -> None:
        self.steps.append(self.step)

    def __enter__(self) -> "FullPasses":
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
