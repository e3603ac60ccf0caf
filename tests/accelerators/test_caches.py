"""diffusers' caches: how they behave on their own, and how ours differ from them."""

from typing import Any

import numpy as np
import pytest
from diffusers import (
    FirstBlockCacheConfig,
    MagCacheConfig,
    TaylorSeerCacheConfig,
    apply_first_block_cache,
    apply_mag_cache,
    apply_taylorseer_cache,
)
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS
from diffusers.models import CacheMixin

from tests.helpers.pipelines import PROMPTS, STEPS, double, new, new_double, pictures, same, tiny
from tuner.accelerators.deepcache import DeepCache
from tuner.accelerators.deepcachewindow import DeepCacheWindow
from tuner.accelerators.fbcache import FirstBlockCache
from tuner.accelerators.magcache import MagCache
from tuner.accelerators.taylorseer import TaylorSeer
from tuner.applying.applied import applied
from tuner.canonical import canonical
from tuner.errors import UnfitError
from tuner.plans.plan import plan_of, shape_of
from tuner.setting import Setting

BETWEEN = 0.1425  # between the first change of the second picture and that of its batch
ATTENTIONS = [r"transformer_blocks\.\d+\.attn[12]"]


def ours(pipeline: Any, accelerator: Any, **arguments: Any) -> np.ndarray:
    with applied(pipeline, (accelerator,)) as generate:
        return pictures(generate, **arguments)


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


def test_the_raw_taylorseer_silently_finds_nothing_in_pixart() -> None:
    raw = new("pixart")
    expected = pictures(raw)
    apply_taylorseer_cache(raw.transformer, TaylorSeerCacheConfig(cache_interval=5))
    assert same(pictures(raw), expected)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_our_taylorseer_is_diffusers_if_that_is_given_the_names_of_attentions(order: int) -> None:
    raw = new_double("pixart")
    config = TaylorSeerCacheConfig(
        cache_interval=3,
        disable_cache_before_step=3,
        max_order=order,
        taylor_factors_dtype=raw.transformer.dtype,
        cache_identifiers=ATTENTIONS,
    )
    apply_taylorseer_cache(raw.transformer, config)
    with CacheMixin.cache_context(raw.transformer, "cond"):
        expected = pictures(raw)
    setting = TaylorSeer(cache_interval=3, warmup=3, max_order=order)
    assert same(ours(new_double("pixart"), setting), expected)


def test_orders_that_no_step_can_reach_are_the_same_setting() -> None:
    shape = shape_of(tiny("pixart"), 16)

    def canonical_forms(warmup: int) -> set[Setting]:
        knobs = {"cache_interval": 6, "warmup": warmup}
        raw = [Setting.of({"taylorseer": knobs | {"max_order": order}}) for order in (0, 1, 2)]
        return {canonical(setting, shape, 4) for setting in raw}

    assert [len(canonical_forms(warmup)) for warmup in (1, 2, 3)] == [2, 2, 3]


def raw_magcache(threshold: float, skipped: int, steps: int) -> np.ndarray:
    raw = new("flux")
    config = MagCacheConfig(
        threshold=threshold,
        max_skip_steps=skipped,
        retention_ratio=0.2,
        num_inference_steps=steps,
        mag_ratios=FLUX_MAG_RATIOS,
    )
    apply_mag_cache(raw.transformer, config)
    return pictures(raw, num_inference_steps=steps)


@pytest.mark.parametrize(("threshold", "skipped"), [(0.06, 3), (0.24, 1), (0.24, 5)])
def test_our_magcache_is_diffusers_for_every_number_of_steps(
    threshold: float, skipped: int
) -> None:
    setting = MagCache(max_skip_steps=skipped, threshold=threshold, retention=0.2)
    with applied(new("flux"), (setting,)) as generate:
        for steps in (12, 5, 12):
            expected = raw_magcache(threshold, skipped, steps)
            assert same(pictures(generate, num_inference_steps=steps), expected)


def test_the_raw_magcache_skips_steps_at_a_threshold_of_0() -> None:
    expected = pictures(new("flux"), num_inference_steps=28)
    assert not same(raw_magcache(0.0, 3, 28), expected)


def test_magcache_is_refused_with_other_sigmas_than_the_usual_ones() -> None:
    setting = MagCache(max_skip_steps=3, threshold=0.1, retention=0.2)
    with (
        applied(new("flux"), (setting,)) as generate,
        pytest.raises(UnfitError, match="other sigmas"),
    ):
        pictures(generate, sigmas=[1.0, 0.5])


@pytest.mark.parametrize(
    "setting", [FirstBlockCache(threshold=0.1), TaylorSeer(cache_interval=5, warmup=3, max_order=1)]
)
def test_a_second_pass_a_step_is_refused(setting: Any) -> None:
    with (
        applied(new("flux"), (setting,)) as generate,
        pytest.raises(UnfitError, match="true_cfg_scale = 2 takes two passes"),
    ):
        pictures(generate, negative_prompt=["a blue ring"] * 2, true_cfg_scale=2)


def test_sd3s_guidance_by_skipped_layers_is_refused_for_its_second_pass() -> None:
    with (
        applied(new("sd3"), (TaylorSeer(cache_interval=5, warmup=3, max_order=1),)) as generate,
        pytest.raises(UnfitError, match="skip_guidance_layers takes two passes"),
    ):
        pictures(generate, skip_guidance_layers=[1])


def test_an_empty_registry_of_hooks_left_by_fluxs_pipeline_does_not_disable_ours() -> None:
    pipeline = new("flux")
    expected = pictures(pipeline)
    assert "_diffusers_hook" in vars(pipeline.transformer)
    assert not same(ours(pipeline, FirstBlockCache(threshold=0.4)), expected)
    assert "_diffusers_hook" in vars(pipeline.transformer)
    assert same(pictures(pipeline), expected)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_window_over_all_steps_is_deepcache(family: str) -> None:
    whole = DeepCacheWindow(cache_interval=3, cache_branch_id=1, start=1, end=STEPS)
    plain = DeepCache(cache_interval=3, cache_branch_id=1)
    assert same(ours(tiny(family), whole), ours(tiny(family), plain))


def test_outside_its_window_every_pass_is_full() -> None:
    window = DeepCacheWindow(cache_interval=3, cache_branch_id=0, start=2, end=6)
    plan = plan_of((window,), shape_of(tiny("sd"), 16), STEPS)
    entered = [step.entered for step in plan.steps]
    assert entered == [None, None, 0, 0, None, 0, None, None]


def test_windows_that_hold_no_step_are_the_baseline() -> None:
    shape = shape_of(tiny("sd"), 16)
    window = {"cache_interval": 3, "cache_branch_id": 0, "start": 8, "end": 10}
    assert canonical(Setting.of({"deepcache-window": window}), shape, STEPS) == Setting()
