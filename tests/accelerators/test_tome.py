"""Known bugs of the package tomesd, and how ours differs."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

import numpy as np
import pytest
import tomesd
import torch
from diffusers.models.attention import BasicTransformerBlock
from tomesd.merge import bipartite_soft_matching_random2d

from tests.accelerators.upstream import MERGED, every_family, ours, raw_tome
from tests.helpers.pipelines import PROMPTS, double, new, new_double, pictures, same, tiny
from tuner.accelerators.tome import ToMe, averages
from tuner.applying.applied import applied
from tuner.plans.plan import plan_of, shape_of


@pytest.mark.parametrize(("ratio", "max_downsample"), [(0.1, 2), (0.5, 1), (0.5, 2), (0.9, 4)])
@every_family
def test_our_tome_is_tomesd_for_even_batches(
    family: str, ratio: float, max_downsample: int
) -> None:
    setting = ToMe(ratio=ratio, max_downsample=max_downsample)
    raw = new(family)
    raw_tome(raw, setting)
    assert same(ours(tiny(family), setting), pictures(raw))


# 5. tomesd copies the global random state, and continues with it from picture to picture


@every_family
def test_5_raw_tomesd_gives_another_picture_the_second_time(family: str) -> None:
    raw = new(family)
    raw_tome(raw, MERGED)
    expected = pictures(raw)
    assert not np.allclose(pictures(raw), expected, atol=1e-3)


def test_5_raw_tomesd_depends_on_the_global_random_state() -> None:
    results = []
    for seed in (0, 1):
        raw = new("sd")
        tomesd.apply_patch(raw, **MERGED.values())
        torch.manual_seed(seed)
        results.append(pictures(raw))
    assert not np.allclose(results[0], results[1], atol=1e-3)


@every_family
def test_5_our_tome_depends_on_its_seed_alone(family: str) -> None:
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with applied(tiny(family), (MERGED,), seed=3) as generate:
            results += [pictures(generate), pictures(generate)]
    assert all(same(result, results[0]) for result in results)
    assert not np.allclose(ours(tiny(family), MERGED, seed=4), results[0], atol=1e-3)


def test_5_our_tome_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    ours(tiny("sd"), MERGED)
    assert torch.equal(torch.get_rng_state(), before)


# 10. tomesd turns its random choice off for odd batches


@pytest.mark.parametrize("size", [1, 2, 3])
def test_10_raw_tomesd_makes_no_random_choice_for_an_odd_batch(size: int) -> None:
    results = []
    for seed in (0, 1):
        raw = new("sd")
        raw_tome(raw, MERGED, seed)
        results.append(pictures(raw, PROMPTS[:size], guidance_scale=1.0))
    assert np.allclose(results[0], results[1], atol=1e-4) == (size % 2 == 1)


@every_family
def test_10_raw_tomesd_gives_other_pictures_in_an_odd_batch(family: str) -> None:
    results = []
    for size in (2, 3):
        raw = new_double(family)
        raw_tome(raw, MERGED)
        results.append(pictures(raw, PROMPTS[:size], guidance_scale=1.0)[:2])
    assert not np.allclose(results[0], results[1], atol=1e-3)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_10_our_tome_chooses_at_random_in_every_batch(size: int) -> None:
    results = [
        ours(tiny("sd"), MERGED, seed=seed, prompts=PROMPTS[:size], guidance_scale=1.0)
        for seed in (0, 1)
    ]
    assert not np.allclose(results[0], results[1], atol=1e-4)


@every_family
def test_10_our_tome_gives_the_same_pictures_in_an_odd_batch(family: str) -> None:
    pipeline = double(family)
    with applied(pipeline, (MERGED,)) as generate:
        together = pictures(generate, PROMPTS, guidance_scale=1.0)
        for size in (1, 2):
            fewer = pictures(generate, PROMPTS[:size], guidance_scale=1.0)
            np.testing.assert_allclose(fewer, together[:size], rtol=0, atol=1e-6)


@pytest.mark.parametrize("merged", [1, 7, 40, 60])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9)])
def test_averages_merge_as_the_package_does(height: int, width: int, merged: int) -> None:
    rng = torch.Generator().manual_seed(3)
    tokens = torch.randn(3, height * width, 5, generator=rng, dtype=torch.float64)
    merge, unmerge = bipartite_soft_matching_random2d(
        tokens, width, height, 2, 2, merged, generator=rng
    )
    ours = averages(unmerge, tokens, height, width, merged)
    torch.testing.assert_close(ours(tokens), merge(tokens))
    assert not torch.equal(unmerge(ours(tokens)), tokens)


@pytest.mark.parametrize(("height", "width"), [(20, 12), (12, 28), (4, 36)])
def test_in_rectangles_each_layer_merges_as_many_tokens_as_the_plan_says(
    height: int, width: int
) -> None:
    pipeline = tiny("sd")
    shape = shape_of(pipeline, 2 * height, 2 * width)
    for max_downsample in (1, 2, 4, 8):
        merging = ToMe(ratio=0.5, max_downsample=max_downsample)
        with applied(pipeline, (merging,)) as generate, computed_tokens(pipeline) as computed:
            pictures(generate, num_inference_steps=1, height=2 * height, width=2 * width)
        plan = plan_of((merging,), shape, 1)
        assert computed == [
            ceil(height / layer.downsample) * ceil(width / layer.downsample) - merged
            for layer, merged in zip(plan.shape.layers, plan.merged, strict=True)
        ]


@contextmanager
def computed_tokens(pipeline: Any) -> Iterator[list[int]]:
    """The number of tokens that each self-attention computes."""
    tokens: list[int] = []
    handles = [
        block.attn1.to_q.register_forward_hook(lambda _, __, out: tokens.append(out.shape[1]))
        for block in pipeline.unet.modules()
        if isinstance(block, BasicTransformerBlock)
    ]
    try:
        yield tokens
    finally:
        for handle in handles:
            handle.remove()
