"""What the packages themselves do, hazard by hazard, and how our application differs.

Each hazard has a test that the raw package still behaves so: where one fails, upstream has
changed and our remedy may be superfluous. The numbers are those of `docs/upstream.md`.
"""

from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import tgate
import tomesd
import torch
from DeepCache import DeepCacheSDHelper
from diffusers.models.attention_processor import AttnProcessor2_0
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.pipelines import (
    PROMPTS,
    STEPS,
    UNETS,
    double,
    generators,
    new,
    new_double,
    pictures,
    same,
    tiny,
)
from tuner.accelerators._applied import applied
from tuner.accelerators.deepcache import DeepCache
from tuner.accelerators.tgate import TGate
from tuner.accelerators.tome import ToMe
from tuner.errors import UnfitError

every_family = pytest.mark.parametrize("family", UNETS)

LOADERS = {"sd": tgate.TgateSDLoader, "sdxl": tgate.TgateSDXLLoader}
COMBINED_LOADERS = {"sd": tgate.TgateSDDeepCacheLoader, "sdxl": tgate.TgateSDXLDeepCacheLoader}
ONE = PROMPTS[:1]

# The case of hazard 2: the warm-up step is one that DeepCache skips.
GATED = TGate(gate_step=6, sp_interval=5, fi_interval=1, warmup=1)
CACHED = DeepCache(cache_interval=3, cache_branch_id=0)
MERGED = ToMe(ratio=0.5, max_downsample=2)


def attentions(pipeline: Any) -> dict[str, Any]:
    return {
        name: module
        for name, module in pipeline.unet.named_modules()
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


# Where a package is sound, ours is the same computation


@pytest.mark.parametrize(("interval", "branch"), [(2, 0), (3, 0), (5, 1), (3, 2), (2, 4), (4, 8)])
@every_family
def test_our_deepcache_is_the_packages(family: str, interval: int, branch: int) -> None:
    setting = DeepCache(cache_interval=interval, cache_branch_id=branch)
    raw = new(family)
    raw_deepcache(raw, setting)
    assert same(ours(tiny(family), setting), pictures(raw))


@pytest.mark.parametrize(("ratio", "max_downsample"), [(0.1, 2), (0.5, 1), (0.5, 2), (0.9, 4)])
@every_family
def test_our_tome_is_tomesd_for_even_batches(
    family: str, ratio: float, max_downsample: int
) -> None:
    setting = ToMe(ratio=ratio, max_downsample=max_downsample)
    raw = new(family)
    raw_tome(raw, setting)
    assert same(ours(tiny(family), setting), pictures(raw))


@pytest.mark.parametrize(
    "setting",
    [
        GATED,
        TGate(gate_step=5, sp_interval=2, fi_interval=3, warmup=2),
        TGate(gate_step=STEPS, sp_interval=3, fi_interval=1, warmup=0),
    ],
    ids=str,
)
@every_family
def test_our_tgate_is_the_packages(family: str, setting: TGate) -> None:
    raw = LOADERS[family](new(family))
    expected = pictures(raw.tgate, **raw_arguments(setting))
    assert same(ours(tiny(family), setting), expected)


@pytest.mark.parametrize("interval", [2, 3, 4])
@every_family
def test_our_combination_is_the_first_picture_of_tgates_combined_loader(
    family: str, interval: int
) -> None:
    gated = TGate(gate_step=5, sp_interval=2, fi_interval=2, warmup=1)
    raw = COMBINED_LOADERS[family](new(family), cache_interval=interval, cache_branch_id=1)
    expected = pictures(raw.tgate, **raw_arguments(gated))
    cached = DeepCache(cache_interval=interval, cache_branch_id=1)
    assert same(ours(tiny(family), cached, gated), expected)


# 1. T-GATE leaves every attention patched


@every_family
def test_1_raw_tgate_leaves_every_attention_patched_and_the_pipeline_broken(family: str) -> None:
    raw = LOADERS[family](new(family))
    pictures(raw.tgate, **raw_arguments(GATED))
    assert all({"forward", "cache"} <= set(vars(one)) for one in attentions(raw).values())
    with pytest.raises(RuntimeError, match="must match the size"):
        pictures(raw)


@every_family
def test_1_raw_tgate_makes_a_single_picture_silently_wrong(family: str) -> None:
    raw = LOADERS[family](new(family))
    expected = pictures(raw, ONE)
    pictures(raw.tgate, ONE, **raw_arguments(GATED))
    assert not np.allclose(pictures(raw, ONE), expected, atol=1e-3)


@pytest.mark.parametrize("prompts", [ONE, PROMPTS[:2]], ids=len)
@every_family
def test_1_after_our_tgate_the_pipeline_is_itself_again(
    family: str, prompts: tuple[str, ...]
) -> None:
    pipeline = tiny(family)
    expected = pictures(pipeline, prompts)
    ours(pipeline, GATED, prompts=prompts)
    assert not any({"forward", "cache"} & set(vars(one)) for one in attentions(pipeline).values())
    assert same(pictures(pipeline, prompts), expected)


# 2. The combined loader leaks attention from one picture into the next


@every_family
def test_2_raw_combined_loader_leaks_attention_into_the_next_picture(family: str) -> None:
    raw = COMBINED_LOADERS[family](new(family), **CACHED.values())
    expected = pictures(raw.tgate, ONE, **raw_arguments(GATED))
    again = pictures(raw.tgate, ONE, **raw_arguments(GATED))
    assert not np.allclose(again, expected, atol=1e-4)


@pytest.mark.parametrize("prompts", [ONE, PROMPTS[:2]], ids=len)
@every_family
def test_2_our_combination_leaks_nothing(family: str, prompts: tuple[str, ...]) -> None:
    with applied(tiny(family), (CACHED, GATED)) as generate:
        expected = pictures(generate, prompts)
        pictures(generate, PROMPTS[2:], first=7)
        assert same(pictures(generate, prompts), expected)


# 3. T-GATE halves the batch at a step that DeepCache skips


@pytest.mark.parametrize("interval", [2, 3, 4])
@every_family
def test_3_raw_tgate_with_raw_deepcache_crashes_when_the_gate_is_no_refresh_step(
    family: str, interval: int
) -> None:
    raw = LOADERS[family](new(family))
    raw_deepcache(raw, DeepCache(cache_interval=interval, cache_branch_id=0))
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        pictures(raw.tgate, gate_step=5)


@pytest.mark.parametrize("branch", [0, 1, 5])
@pytest.mark.parametrize("gate", [1, 2, 4, 5, 6, 7])
@pytest.mark.parametrize("interval", [2, 3, 4])
def test_3_our_combination_works_at_every_gate(interval: int, gate: int, branch: int) -> None:
    cached = DeepCache(cache_interval=interval, cache_branch_id=branch)
    gated = TGate(gate_step=gate, sp_interval=3, fi_interval=2, warmup=1)
    with applied(tiny("sd"), (cached, gated)) as generate:
        expected = pictures(generate)
        assert same(pictures(generate), expected)


def test_3_both_steps_around_the_gate_are_full_passes() -> None:
    pipeline = tiny("sd")
    with FullPasses(pipeline) as passes, applied(pipeline, (CACHED, GATED)) as generate:
        pictures(generate)
    assert passes.steps == [0, 3, 5, 6]  # every third, counted anew from steps 5 and 6


# 4. T-GATE keeps merged tokens, which are unmerged with another map later


class SelfAttentions:
    """What the self-attention adds to its block's tokens, for each step, in float64."""

    def __init__(self, pipeline: Any) -> None:
        self.added: dict[str, list[torch.Tensor]] = {}
        self.handles: list[Any] = []
        for name, block in pipeline.unet.named_modules():
            if isinstance(block, diffusers.models.attention.BasicTransformerBlock):
                self._watch(name, block)

    def _watch(self, name: str, block: Any) -> None:
        def before(module: Any, args: tuple[Any, ...]) -> None:
            self.entered = args[0]

        def after(module: Any, args: tuple[Any, ...]) -> None:
            self.added.setdefault(name, []).append(args[0] - self.entered)

        self.handles.append(block.register_forward_pre_hook(before))
        self.handles.append(block.norm2.register_forward_pre_hook(after))

    def reused(self, step: int) -> bool:
        """Whether every block added at `step` what it added the step before."""
        return all(
            torch.allclose(added[step], added[step - 1], rtol=0, atol=1e-9)
            for added in self.added.values()
        )

    def __enter__(self) -> "SelfAttentions":
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


REUSING = TGate(gate_step=6, sp_interval=5, fi_interval=1, warmup=1)  # steps 2 to 4 reuse step 1


@every_family
def test_4_raw_tome_with_raw_tgate_unmerges_kept_tokens_with_another_map(family: str) -> None:
    raw = LOADERS[family](new_double(family))
    with SelfAttentions(raw) as seen:
        pictures(raw.tgate, **raw_arguments(REUSING))
    assert seen.reused(2)
    assert not seen.reused(1)

    raw = LOADERS[family](new_double(family))
    raw_tome(raw, MERGED)
    with SelfAttentions(raw) as seen:
        pictures(raw.tgate, **raw_arguments(REUSING))
    assert not seen.reused(2)


@every_family
def test_4_our_combination_keeps_attention_that_is_unmerged(family: str) -> None:
    pipeline = double(family)
    with SelfAttentions(pipeline) as seen:
        ours(pipeline, MERGED, REUSING)
    assert seen.reused(2)
    assert seen.reused(3)
    assert not seen.reused(1)


# 5. tomesd copies the global random state and carries it from picture to picture


@every_family
def test_5_raw_tomesd_gives_another_picture_the_second_time(family: str) -> None:
    raw = new(family)
    raw_tome(raw, MERGED)
    expected = pictures(raw)
    assert not np.allclose(pictures(raw), expected, atol=1e-3)


def test_5_raw_tomesd_depends_on_the_global_random_state() -> None:
    found = []
    for seed in (0, 1):
        raw = new("sd")
        tomesd.apply_patch(raw, **MERGED.values())
        torch.manual_seed(seed)
        found.append(pictures(raw))
    assert not np.allclose(found[0], found[1], atol=1e-3)


@every_family
def test_5_our_tome_depends_on_its_seed_alone(family: str) -> None:
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with applied(tiny(family), (MERGED,), seed=3) as generate:
            found += [pictures(generate), pictures(generate)]
    assert all(same(one, found[0]) for one in found)
    assert not np.allclose(ours(tiny(family), MERGED, seed=4), found[0], atol=1e-3)


def test_5_our_tome_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    ours(tiny("sd"), MERGED)
    assert torch.equal(torch.get_rng_state(), before)


# 6. DeepCache enabled twice recurses, and an older one goes on underneath


def test_6_raw_deepcache_enabled_twice_recurses() -> None:
    raw = new("sd")
    raw_deepcache(raw, CACHED).enable()
    with pytest.raises(RecursionError):
        pictures(raw)


def test_6_a_raw_helper_goes_on_under_a_later_one() -> None:
    raw = new("sd")
    full = pictures(raw)
    raw_deepcache(raw, CACHED)
    skipping = pictures(raw)
    later = raw_deepcache(raw, DeepCache(cache_interval=1, cache_branch_id=0))
    assert same(pictures(raw), skipping)
    later.disable()
    assert not np.allclose(pictures(raw), full, atol=1e-3)


def test_6_raw_deepcache_leaves_bound_methods_on_the_modules() -> None:
    raw = new("sd")
    raw_deepcache(raw, CACHED).disable()
    assert "forward" in vars(raw.unet)


@every_family
def test_6_our_applications_follow_each_other_without_a_trace(family: str) -> None:
    pipeline = tiny(family)
    expected = pictures(pipeline)
    first = ours(pipeline, CACHED)
    for _ in range(2):
        full = ours(pipeline, DeepCache(cache_interval=1, cache_branch_id=0))
        assert same(full, expected)
        assert same(ours(pipeline, CACHED), first)


# 7. DeepCache looks the step up by its timestep


MANY = 20
ALTERNATE = DeepCache(cache_interval=2, cache_branch_id=0)


def repeating(pipeline: Any) -> None:
    """A scheduler of the known ones that rounds the last two noise levels to one timestep."""
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, use_exponential_sigmas=True
    )
    pipeline.scheduler.set_timesteps(MANY)
    found = pipeline.scheduler.timesteps.tolist()
    assert len(set(found)) < len(found)


def test_7_raw_deepcache_mistakes_the_step_where_a_timestep_occurs_twice() -> None:
    raw = new("sd")
    repeating(raw)
    raw_deepcache(raw, ALTERNATE)
    with FullPasses(raw) as passes:
        pictures(raw, num_inference_steps=MANY)
    assert passes.steps == [*range(0, MANY, 2), MANY - 1]


def test_7_raw_deepcache_mistakes_pndms_steps() -> None:
    raw = new("sd")
    raw.scheduler = diffusers.PNDMScheduler.from_config(raw.scheduler.config, skip_prk_steps=True)
    raw_deepcache(raw, ALTERNATE)
    with FullPasses(raw) as passes:
        pictures(raw)
    assert passes.steps == [0, 4, 6, 8]  # the second timestep comes twice: step 2 is taken for 1


def test_7_our_deepcache_counts_the_steps() -> None:
    pipeline = new("sd")
    repeating(pipeline)
    with FullPasses(pipeline) as passes, applied(pipeline, (ALTERNATE,)) as generate:
        pictures(generate, num_inference_steps=MANY)
    assert passes.steps == list(range(0, MANY, 2))


class Readings(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the values that are read back from tensors; each one waits for a GPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += int(func is torch.ops.aten._local_scalar_dense.default)
        return func(*args, **(kwargs or {}))


def readings(generate: Callable[..., Any]) -> int:
    with Readings() as mode:
        pictures(generate)
    return int(mode.count)


def test_7_raw_deepcache_reads_timesteps_back_and_ours_does_not() -> None:
    baseline = readings(tiny("sd"))
    raw = new("sd")
    raw_deepcache(raw, ALTERNATE)
    assert readings(raw) >= baseline + STEPS
    with applied(tiny("sd"), (ALTERNATE,)) as generate:
        assert readings(generate) == baseline


# 8. T-GATE needs guidance and bypasses attention processors


@every_family
def test_8_raw_tgate_without_guidance_crashes(family: str) -> None:
    raw = LOADERS[family](new(family))
    with pytest.raises(ValueError, match="not enough values to unpack"):
        pictures(raw.tgate, ONE, guidance_scale=1.0, gate_step=5)


@every_family
def test_8_our_tgate_refuses_to_go_without_guidance(family: str) -> None:
    with (
        applied(tiny(family), (GATED,)) as generate,
        pytest.raises(UnfitError, match="tgate needs guidance_scale above 1") as refusal,
    ):
        pictures(generate, guidance_scale=1.0)
    assert "\n" not in str(refusal.value)


class CountingProcessor(AttnProcessor2_0):  # type: ignore[misc]
    calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        CountingProcessor.calls += 1
        return super().__call__(*args, **kwargs)


def test_8_raw_tgate_bypasses_attention_processors() -> None:
    raw = LOADERS["sd"](new("sd"))
    raw.unet.set_attn_processor(CountingProcessor())
    pictures(raw.tgate, **raw_arguments(GATED))
    assert CountingProcessor.calls == 0

    pipeline = new("sd")
    pipeline.unet.set_attn_processor(CountingProcessor())
    pictures(pipeline)
    assert CountingProcessor.calls > 0


def test_8_our_tgate_refuses_an_image_encoder() -> None:
    pipeline = new("sd")
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=8,
        patch_size=4,
        projection_dim=8,
    )
    pipeline.register_modules(image_encoder=CLIPVisionModelWithProjection(config))
    with pytest.raises(UnfitError, match="cannot use image_encoder") as refusal:
        ours(pipeline, GATED)
    assert "\n" not in str(refusal.value)


def test_8_our_tgate_refuses_a_controlnet() -> None:
    parts = new("sd").components
    unet = parts["unet"]
    parts["controlnet"] = diffusers.ControlNetModel.from_unet(unet)
    pipeline = diffusers.StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)
    with pytest.raises(UnfitError, match="StableDiffusionControlNetPipeline") as refusal:
        ours(pipeline, GATED)
    assert "\n" not in str(refusal.value)


# 9. One generator for a whole batch


@every_family
def test_9_one_generator_for_a_batch_makes_pictures_depend_on_the_batch(family: str) -> None:
    pipeline = double(family)

    def shared(prompts: tuple[str, ...]) -> np.ndarray:
        return pictures(pipeline, prompts, generator=torch.Generator().manual_seed(0))

    together = shared(PROMPTS[:2])
    assert np.allclose(shared(PROMPTS[:1]), together[:1], atol=1e-6)
    assert not np.allclose(shared(PROMPTS[1:2]), together[1:], atol=1e-2)


@every_family
def test_9_one_generator_for_each_prompt_does_not(family: str) -> None:
    pipeline = double(family)
    together = pictures(pipeline, PROMPTS, generator=generators(3))
    for index, prompt in enumerate(PROMPTS):
        alone = pictures(pipeline, [prompt], generator=generators(1, first=index))
        np.testing.assert_allclose(alone[0], together[index], rtol=0, atol=1e-6)


# 10. tomesd turns its random choice off for odd batches


@pytest.mark.parametrize("size", [1, 2, 3])
def test_10_raw_tomesd_makes_no_random_choice_for_an_odd_batch(size: int) -> None:
    found = []
    for seed in (0, 1):
        raw = new("sd")
        raw_tome(raw, MERGED, seed)
        found.append(pictures(raw, PROMPTS[:size], guidance_scale=1.0))
    assert np.allclose(found[0], found[1], atol=1e-4) == (size % 2 == 1)


@every_family
def test_10_raw_tomesd_gives_other_pictures_in_an_odd_batch(family: str) -> None:
    found = []
    for size in (2, 3):
        raw = new_double(family)
        raw_tome(raw, MERGED)
        found.append(pictures(raw, PROMPTS[:size], guidance_scale=1.0)[:2])
    assert not np.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_10_our_tome_chooses_at_random_in_every_batch(size: int) -> None:
    found = [
        ours(tiny("sd"), MERGED, seed=seed, prompts=PROMPTS[:size], guidance_scale=1.0)
        for seed in (0, 1)
    ]
    assert not np.allclose(found[0], found[1], atol=1e-4)


@every_family
def test_10_our_tome_gives_the_same_pictures_in_an_odd_batch(family: str) -> None:
    pipeline = double(family)
    with applied(pipeline, (MERGED,)) as generate:
        together = pictures(generate, PROMPTS, guidance_scale=1.0)
        for size in (1, 2):
            fewer = pictures(generate, PROMPTS[:size], guidance_scale=1.0)
            np.testing.assert_allclose(fewer, together[:size], rtol=0, atol=1e-6)
