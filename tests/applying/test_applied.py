"""Refused in one line: pipelines that are patched or do not fit, and a second application."""

from itertools import product
from typing import Any

import diffusers
import pytest
import tgate
import tomesd
from DeepCache import DeepCacheSDHelper

from tests.accelerators.cases import (
    KNOWN,
    UNFIT,
    Names,
    accelerated,
    another,
    baseline,
    every_accelerator,
    every_combination,
    fits,
    setting,
)
from tests.helpers.pipelines import SCHEDULERS_OF, UNETS, new, pictures, same, tiny
from tuner.applying.applied import applied, check
from tuner.errors import UnfitError, UsageError


@every_combination
def test_a_second_application_is_refused_and_the_first_goes_on(names: Names, family: str) -> None:
    expected = accelerated(family, names)
    pipeline = tiny(family)
    with applied(pipeline, setting(names).accelerators) as generate:
        with (
            pytest.raises(UsageError, match="accelerated already") as refusal,
            applied(pipeline, another(names).accelerators),
        ):
            raise AssertionError("applied twice")
        assert "\n" not in str(refusal.value)
        assert same(pictures(generate), expected)
    assert same(pictures(pipeline), baseline(family))


def patch(pipeline: Any, package: str) -> None:
    """Leave the pipeline as the package itself leaves it."""
    if package == "tomesd":
        tomesd.apply_patch(pipeline, ratio=0.5, max_downsample=2)
    elif package == "DeepCache":
        helper = DeepCacheSDHelper(pipe=pipeline)
        helper.set_params(cache_interval=3, cache_branch_id=0)
        helper.enable()
    else:
        loaders = {
            "StableDiffusionPipeline": tgate.TgateSDLoader,
            "StableDiffusionXLPipeline": tgate.TgateSDXLLoader,
            "PixArtAlphaPipeline": tgate.TgatePixArtAlphaLoader,
        }
        pictures(loaders[type(pipeline).__name__](pipeline).tgate, gate_step=5)


@pytest.mark.parametrize(
    ("package", "family"),
    [*product(("tomesd", "DeepCache", "tgate"), UNETS), ("tgate", "pixart")],
)
def test_a_pipeline_that_other_code_patched_is_refused(package: str, family: str) -> None:
    pipeline = new(family)
    patch(pipeline, package)
    for name in (name for name in KNOWN if fits((name,), family)):
        with (
            pytest.raises(UsageError, match="accelerated already") as refusal,
            applied(pipeline, setting((name,)).accelerators),
        ):
            raise AssertionError("applied to a patched pipeline")
        assert "\n" not in str(refusal.value)


def ddpm() -> Any:
    """A U-Net without text and without the blocks that the accelerators know."""
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDIMScheduler())


@every_accelerator
def test_a_pipeline_without_the_right_unet_is_refused(name: str) -> None:
    refused(ddpm(), name)


@pytest.mark.parametrize(("name", "family"), UNFIT)
def test_a_family_that_an_accelerator_does_not_fit_is_refused(name: str, family: str) -> None:
    refused(tiny(family), name)


def refused(pipeline: Any, name: str) -> None:
    with (
        pytest.raises(UnfitError, match=type(pipeline).__name__) as refusal,
        applied(pipeline, setting((name,)).accelerators),
    ):
        raise AssertionError("applied to a pipeline that does not fit")
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("scheduler", ["PNDMScheduler", "HeunDiscreteScheduler"])
@every_combination
def test_a_scheduler_that_repeats_timesteps_is_refused(
    names: Names, family: str, scheduler: str
) -> None:
    pipeline = tiny(family)
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    with pytest.raises(UnfitError, match=scheduler) as refusal:
        check(pipeline, setting(names).accelerators)
    for alternative in SCHEDULERS_OF["sd"]:
        assert alternative in str(refusal.value)
    assert "\n" not in str(refusal.value)


@every_combination
def test_a_scheduler_that_is_changed_after_the_application_is_refused(
    names: Names, family: str
) -> None:
    pipeline = tiny(family)
    with applied(pipeline, setting(names).accelerators) as generate:
        pipeline.scheduler = diffusers.PNDMScheduler.from_config(pipeline.scheduler.config)
        with pytest.raises(UnfitError, match="PNDMScheduler"):
            pictures(generate)
