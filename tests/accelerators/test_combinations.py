"""Known bugs of the packages when they are combined, and how our application avoids them.

For each bug a test shows that the package itself still has it: if such a test fails, the package
has changed, and our remedy may no longer be needed. The numbers are those of `docs/upstream.md`.
"""

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.accelerators.upstream import (
    CACHED,
    COMBINED_LOADERS,
    GATED,
    LOADERS,
    MERGED,
    ONE,
    FullPasses,
    every_family,
    ours,
    raw_arguments,
    raw_deepcache,
    raw_tome,
)
from tests.helpers.pipelines import (
    PROMPTS,
    double,
    generators,
    new,
    new_double,
    pictures,
    same,
    tiny,
)
from tuner.accelerators.deepcache import DeepCache
from tuner.accelerators.tgate import TGate
from tuner.applying.applied import applied


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


# 2. The combined loader leaks attention from one picture into the next


@every_family
def test_2_raw_combined_loader_leaks_attention_into_the_next_picture(family: str) -> None:
    raw = COMBINED_LOADERS[family](new(family), **CACHED.values())
    expected = pictures(raw.tgate, ONE, **raw_arguments(GATED))
    second = pictures(raw.tgate, ONE, **raw_arguments(GATED))
    assert not np.allclose(second, expected, atol=1e-4)


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


@pytest.mark.parametrize("branch", [0, 5])
@pytest.mark.parametrize("gate", [1, 2, 4, 5, 6, 7])
@pytest.mark.parametrize("interval", [2, 3, 4])
def test_3_our_combination_works_at_every_gate(interval: int, gate: int, branch: int) -> None:
    cached = DeepCache(cache_interval=interval, cache_branch_id=branch)
    gated = TGate(gate_step=gate, sp_interval=3, fi_interval=2, warmup=1)
    with applied(tiny("sd"), (cached, gated)) as generate:
        assert np.isfinite(pictures(generate)).all()


def test_3_both_steps_around_the_gate_are_full_passes() -> None:
    pipeline = tiny("sd")
    with FullPasses(pipeline) as passes, applied(pipeline, (CACHED, GATED)) as generate:
        pictures(generate)
    assert passes.steps == [0, 3, 5, 6]  # every third step, counted from step 5 and from step 6


# 4. T-GATE stores merged tokens, which are unmerged with another matching later


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
def test_4_raw_tome_with_raw_tgate_unmerges_stored_tokens_with_another_map(family: str) -> None:
    raw = LOADERS[family](new_double(family))
    with SelfAttentions(raw) as attentions:
        pictures(raw.tgate, **raw_arguments(REUSING))
    assert attentions.reused(2)
    assert not attentions.reused(1)

    raw = LOADERS[family](new_double(family))
    raw_tome(raw, MERGED)
    with SelfAttentions(raw) as attentions:
        pictures(raw.tgate, **raw_arguments(REUSING))
    assert not attentions.reused(2)


@every_family
def test_4_our_combination_keeps_attention_that_is_unmerged(family: str) -> None:
    pipeline = double(family)
    with SelfAttentions(pipeline) as attentions:
        ours(pipeline, MERGED, REUSING)
    assert attentions.reused(2)
    assert attentions.reused(3)
    assert not attentions.reused(1)


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
