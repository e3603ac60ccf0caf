"""FasterCache: how diffusers' own behaves, where it fails, and what ours adds."""

from typing import Any

import numpy as np
import pytest
from diffusers import FasterCacheConfig, apply_faster_cache

from tests.helpers.pipelines import PROMPTS, STEPS, new, new_double, pictures, same, tiny
from tuner.accelerators.fastercache import FasterCache
from tuner.applying.applied import applied
from tuner.canonical import canonical
from tuner.errors import UnfitError
from tuner.plans.plan import plan_of, shape_of
from tuner.setting import Setting

OURS = FasterCache(guidance_interval=4, attention_interval=2, warmup=2)
BATCHED = ["hidden_states", "encoder_hidden_states", "encoder_attention_mask", "timestep"]


def raw(family: str, **changes: Any) -> Any:
    """A pipeline with diffusers' hooks, set up like `OURS`, and with steps that a hook counts."""
    pipeline = new(family)
    step = -1

    def count(module: Any, args: Any) -> None:
        nonlocal step
        step += 1

    denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
    denoiser.register_forward_pre_hook(count)
    values: dict[str, Any] = {
        "unconditional_batch_skip_range": 4,
        "unconditional_batch_timestep_skip_range": (1, 100),
        "spatial_attention_block_skip_range": 2,
        "spatial_attention_timestep_skip_range": (1, 100),
        "spatial_attention_block_identifiers": (r"attn1?$",),
        "attention_weight_callback": lambda module: step / STEPS,
        "low_frequency_weight_callback": lambda module: 1.1 if 0 < step < STEPS else 1.0,
        "high_frequency_weight_callback": lambda module: 1.1 if step > 5 else 1.0,
        "tensor_format": "BCHW",
        "current_timestep_callback": lambda: step,
        "_unconditional_conditional_input_kwargs_identifiers": [*BATCHED, "pooled_projections"],
    }
    apply_faster_cache(denoiser, FasterCacheConfig(**values | changes))
    return pipeline


def ours(pipeline: Any, setting: FasterCache = OURS, **arguments: Any) -> np.ndarray:
    with applied(pipeline, (setting,)) as generate:
        return pictures(generate, **arguments)


@pytest.mark.parametrize("family", ["sigma", "sd3"])
def test_our_fastercache_is_diffusers_where_that_works(family: str) -> None:
    assert same(ours(new(family)), pictures(raw(family)))


def test_the_raw_fastercache_does_not_halve_sd3s_pooled_prompts() -> None:
    broken = raw("sd3", _unconditional_conditional_input_kwargs_identifiers=BATCHED)
    with pytest.raises(RuntimeError, match="must match the size"):
        pictures(broken)


def test_the_raw_fastercache_does_not_halve_pixart_alphas_conditions() -> None:
    with pytest.raises(RuntimeError, match="must match the size"):
        pictures(raw("pixart"))


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_the_raw_fastercache_cannot_halve_a_unets_timestep(family: str) -> None:
    with pytest.raises(RuntimeError, match="at least a 1-dimensional tensor"):
        pictures(raw(family))


def test_the_raw_fastercache_finds_no_attention_in_a_unet() -> None:
    registries = vars(raw("sd").unet)["_diffusers_hook"]._get_child_registries()
    assert not any(registry.hooks for registry in registries)


def test_the_raw_fastercache_of_distilled_guidance_needs_a_step_before_it() -> None:
    changes = {"is_guidance_distilled": True, "spatial_attention_timestep_skip_range": (-1, 100)}
    with pytest.raises(TypeError, match="NoneType"):
        pictures(raw("flux", **changes))


def test_the_raw_fastercache_takes_half_the_pictures_for_those_without_a_prompt() -> None:
    arguments: dict[str, Any] = {"prompts": PROMPTS[:2], "guidance_scale": 1.0}
    unguided = pictures(raw("sigma"), **arguments)
    without = pictures(new("sigma"), **arguments)
    assert not np.allclose(unguided[0], without[0], atol=1e-2)


@pytest.mark.parametrize("family", ["pixart", "sd3"])
def test_our_fastercache_refuses_to_go_without_guidance(family: str) -> None:
    with pytest.raises(UnfitError, match="fastercache needs guidance_scale above 1") as refusal:
        ours(tiny(family), guidance_scale=1.0)
    assert "\n" not in str(refusal.value)


def test_alphas_conditions_are_those_of_each_picture() -> None:
    pipeline = new_double("pixart")
    together = ours(pipeline, prompts=PROMPTS)
    for index, prompt in enumerate(PROMPTS):
        alone = ours(pipeline, prompts=[prompt], first=index)
        np.testing.assert_allclose(alone[0], together[index], rtol=0, atol=1e-6)


def test_the_plan_of_fastercache_says_when_passes_and_attentions_are_skipped() -> None:
    plan = plan_of((OURS,), shape_of(tiny("sd3"), 16), STEPS)
    assert [step.guided for step in plan.steps] == [True] * 2 + [False] * 2 + [True] + [False] * 3
    assert [step.self_source[0] for step in plan.steps] == [0, 1, 2, 2, 4, 4, 6, 6]


def test_settings_that_skip_nothing_are_the_baseline() -> None:
    shape = shape_of(tiny("sd3"), 16)
    late = {"guidance_interval": 2, "attention_interval": 3, "warmup": 8}
    assert canonical(Setting.of({"fastercache": late}), shape, STEPS) == Setting()
