"""Pipelines changed by other code that an accelerator accepts or refuses."""

from typing import Any

import pytest
from DeepCache import DeepCacheSDHelper

from tests.helpers.pipelines import new, pictures, same
from tuner.accelerators.fbcache import FirstBlockCache
from tuner.accelerators.taylorseer import TaylorSeer
from tuner.applying.applied import applied
from tuner.errors import UnfitError
from tuner.setting import Setting

TGATE = Setting.of({"tgate": {"gate_step": 4, "sp_interval": 2, "fi_interval": 1, "warmup": 1}})
TOME = Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}})


def test_a_pipeline_whose_own_deepcache_was_disabled_is_accepted() -> None:
    pipeline = new("sd")
    before = pictures(pipeline)
    helper = DeepCacheSDHelper(pipe=pipeline)
    helper.set_params(cache_interval=3, cache_branch_id=0)
    helper.enable()
    helper.disable()
    with applied(pipeline, TOME.accelerators) as generate:
        pictures(generate)
    assert same(pictures(pipeline), before)


def test_tgate_without_guidance_is_refused_however_the_scale_is_given() -> None:
    pipeline = new("sd")
    with applied(pipeline, TGATE.accelerators) as generate:
        with pytest.raises(UnfitError, match="guidance_scale above 1"):
            generate(["a red circle"], guidance_scale=1.0, num_inference_steps=8)
        with pytest.raises(UnfitError, match="guidance_scale above 1"):
            generate(["a red circle"], None, None, 8, None, None, 1.0)


def test_tome_is_refused_where_the_projections_are_fused() -> None:
    pipeline = new("sd")
    pipeline.unet.fuse_qkv_projections()
    with (
        pytest.raises(UnfitError, match="unfuse_qkv_projections"),
        applied(pipeline, TOME.accelerators),
    ):
        pass


@pytest.mark.parametrize(
    "setting", [FirstBlockCache(threshold=0.1), TaylorSeer(cache_interval=5, warmup=3, max_order=1)]
)
def test_a_second_pass_a_step_is_refused(setting: Any) -> None:
    with (
        applied(new("flux"), (setting,)) as generate,
        pytest.raises(UnfitError, match="true_cfg_scale = 2 takes two"),
    ):
        pictures(generate, negative_prompt=["a blue ring"] * 2, true_cfg_scale=2)


def test_sd3s_guidance_by_skipped_layers_is_refused_for_its_second_pass() -> None:
    with (
        applied(new("sd3"), (TaylorSeer(cache_interval=5, warmup=3, max_order=1),)) as generate,
        pytest.raises(UnfitError, match="skip_guidance_layers takes two"),
    ):
        pictures(generate, skip_guidance_layers=[1])
