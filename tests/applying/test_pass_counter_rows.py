"""Passes with more rows for each picture than the two of guidance."""

import pytest

from tests.accelerators.cases import Names, neutral, setting
from tests.helpers.pipelines import same
from tests.helpers.relatives import PICTURE, drawn, relative, unet
from tuner.accelerators.fbcache import FirstBlockCache
from tuner.accelerators.tome import ToMe
from tuner.applying.applied import applied
from tuner.errors import UnfitError

PAG = {"pag_scale": 3.0, "num_inference_steps": 3}


@pytest.mark.parametrize(
    ("kind", "family", "names"),
    [
        ("StableDiffusionPAGPipeline", "sd", ("deepcache", "pab", "taylorseer", "tome")),
        ("PixArtSigmaPAGPipeline", "sigma", ("pab", "taylorseer", "fbcache")),
    ],
)
def test_a_third_row_for_each_picture_is_drawn_right_or_refused(
    kind: str, family: str, names: Names
) -> None:
    layers = {"pag_applied_layers": ["blocks.1"]} if family == "sigma" else {}
    pipeline = relative(kind, family, **layers)
    expected = drawn(pipeline, **PAG)
    for name in names:
        with applied(pipeline, neutral((name,)).accelerators) as generate:
            assert same(drawn(generate, **PAG), expected), name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tome", "the block has 3 rows of 16 tokens and the self-attention 2 rows of 16 tokens"),
        ("fbcache", "runs each row by itself"),
        ("fastercache", "batch of step 0 is different"),
    ],
)
def test_accelerators_that_do_not_work_with_the_third_row_refuse_it(name: str, why: str) -> None:
    pipeline = relative("PixArtSigmaPAGPipeline", "sigma", pag_applied_layers=["blocks.1"])
    plain = dict(pipeline.transformer.attn_processors)
    with (
        applied(pipeline, setting((name,)).accelerators) as generate,
        pytest.raises(UnfitError, match=why) as refusal,
    ):
        drawn(generate, **PAG)
    assert "\n" not in str(refusal.value)
    assert pipeline.transformer.attn_processors == plain


def test_tome_with_perturbed_attention_in_the_middle_is_refused() -> None:
    pipeline = relative("StableDiffusionPAGPipeline", "sd")
    everywhere = ToMe(ratio=0.5, max_downsample=8)
    with (
        applied(pipeline, (everywhere,)) as generate,
        pytest.raises(UnfitError, match="such as pag_scale"),
    ):
        # At 8 pixels a side the middle has a single token, which is never merged.
        drawn(generate, height=64, width=64, **PAG)


def test_tome_is_refused_where_layers_have_no_self_attention() -> None:
    pipeline = relative("StableDiffusionPipeline", "sd", unet=unet(only_cross_attention=True))
    with (
        pytest.raises(UnfitError, match="only_cross_attention"),
        applied(pipeline, setting(("tome",)).accelerators),
    ):
        pass


def test_three_rows_for_each_picture_without_attention_between_them_are_right() -> None:
    kind = "StableDiffusionInstructPix2PixPipeline"
    pipeline = relative(kind, "sd", unet=unet(in_channels=8), image_encoder=None)
    more = {"image": PICTURE, "num_inference_steps": 3}
    expected = drawn(pipeline, **more)
    for name in ("deepcache", "pab", "taylorseer", "tome"):
        with applied(pipeline, neutral((name,)).accelerators) as generate:
            assert same(drawn(generate, **more), expected), name


def test_the_first_block_cache_that_does_nothing_takes_any_batch() -> None:
    accelerator = FirstBlockCache(threshold=0.0)
    pipeline = relative("PixArtSigmaPAGPipeline", "sigma", pag_applied_layers=["blocks.1"])
    expected = drawn(pipeline, **PAG)
    with applied(pipeline, (accelerator,)) as generate:
        assert same(drawn(generate, **PAG), expected)
