"""First-block cache: what diffusers' does by itself, and how our application differs."""

from typing import Any

import numpy as np
import pytest
from diffusers import (
    FirstBlockCacheConfig,
    apply_first_block_cache,
)
from diffusers.models import CacheMixin

from tests.accelerators.upstream import ours
from tests.helpers.pipelines import PROMPTS, STEPS, double, new, new_double, pictures, same, tiny
from tuner.accelerators.fbcache import FirstBlockCache
from tuner.applying.applied import applied
from tuner.canonical import canonical
from tuner.plans.plan import shape_of
from tuner.setting import Setting

BETWEEN = 0.1425  # between the first change of the second picture and that of its batch


def raw_first_block(pipeline: Any, threshold: float, **arguments: Any) -> np.ndarray:
    """As diffusers' own pipelines use it: in a cache context, with an empty cache."""
    transformer = pipeline.transformer
    apply_first_block_cache(transformer, FirstBlockCacheConfig(threshold=threshold))
    with CacheMixin.cache_context(transformer, "cond"):
        return pictures(pipeline, **arguments)


def test_the_raw_first_block_cache_needs_a_context_that_pixart_does_not_give() -> None:
    raw = new("pixart")
    apply_first_block_cache(raw.transformer, FirstBlockCacheConfig(threshold=0.1))
    with pytest.raises(ValueError, match="No cache context is set"):
        pictures(raw)


def test_the_raw_first_block_cache_makes_pictures_depend_on_their_batch() -> None:
    together = raw_first_block(new_double("pixart"), BETWEEN, prompts=PROMPTS)
    alone = raw_first_block(new_double("pixart"), BETWEEN, prompts=PROMPTS[1:2], first=1)
    assert not np.allclose(together[1:2], alone, atol=1e-4)


def test_the_raw_first_block_cache_crashes_on_sd3s_last_block_which_drops_the_prompt() -> None:
    raw = new("sd3")
    assert raw.transformer.transformer_blocks[-1].context_pre_only
    with pytest.raises(TypeError, match="NoneType"):
        raw_first_block(raw, 0.1)


@pytest.mark.parametrize("threshold", [0.05, BETWEEN, 0.3])
def test_our_first_block_cache_gives_pictures_that_do_not_depend_on_their_batch(
    threshold: float,
) -> None:
    with applied(double("pixart"), (FirstBlockCache(threshold=threshold),)) as generate:
        together = pictures(generate, PROMPTS)
        for index, prompt in enumerate(PROMPTS):
            alone = pictures(generate, [prompt], first=index)
            np.testing.assert_allclose(alone[0], together[index], rtol=0, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.1, 0.3])
def test_our_first_block_cache_is_diffusers_for_a_single_row(threshold: float) -> None:
    arguments = {"prompts": PROMPTS[:1], "guidance_scale": 1.0}
    expected = raw_first_block(new("pixart"), threshold, **arguments)
    actual = ours(new("pixart"), FirstBlockCache(threshold=threshold), **arguments)
    assert same(actual, expected)


@pytest.mark.parametrize(("family", "attention"), [("pixart", "attn1"), ("sd3", "attn")])
def test_a_higher_threshold_computes_fewer_blocks(family: str, attention: str) -> None:
    counts = []
    for threshold in (0.0, 0.1, 0.3, 10.0):
        pipeline = new(family)
        passes: list[int] = []
        last = getattr(pipeline.transformer.transformer_blocks[-1], attention).to_q
        last.register_forward_hook(lambda module, args, output, seen=passes: seen.append(len(args)))
        ours(pipeline, FirstBlockCache(threshold=threshold), prompts=PROMPTS[:1], guidance_scale=1)
        counts.append(len(passes))
    assert counts[0] == STEPS
    assert counts[-1] == 1
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 2


def test_settings_of_a_first_block_cache_are_distinguished_by_their_threshold() -> None:
    shape = shape_of(tiny("pixart"), 16)
    (threshold,) = FirstBlockCache.knobs()
    raw = [Setting.of({"fbcache": {"threshold": value}}) for value in (0.0, *threshold.values)]
    assert [canonical(setting, shape, STEPS) for setting in raw] == [Setting(), *raw[1:]]


def test_an_empty_registry_of_hooks_left_by_fluxs_pipeline_does_not_disable_ours() -> None:
    pipeline = new("flux")
    expected = pictures(pipeline)
    assert "_diffusers_hook" in vars(pipeline.transformer)
    assert not same(ours(pipeline, FirstBlockCache(threshold=0.4)), expected)
    assert "_diffusers_hook" in vars(pipeline.transformer)
    assert same(pictures(pipeline), expected)
