"""Known bugs of the package DeepCache, and how ours differs."""

from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
from torch.profiler import ProfilerActivity, profile

from tests.accelerators.upstream import CACHED, FullPasses, every_family, ours, raw_deepcache
from tests.helpers.pipelines import STEPS, new, pictures, same, tiny
from tuner.accelerators.deepcache import DeepCache
from tuner.applying.applied import applied


@pytest.mark.parametrize(("interval", "branch"), [(2, 0), (3, 0), (5, 1), (3, 2), (2, 4), (4, 8)])
@every_family
def test_our_deepcache_is_the_packages(family: str, interval: int, branch: int) -> None:
    setting = DeepCache(cache_interval=interval, cache_branch_id=branch)
    raw = new(family)
    raw_deepcache(raw, setting)
    assert same(ours(tiny(family), setting), pictures(raw))


# 6. DeepCache enabled twice recurses, and an earlier helper stays active below a later one


def test_6_raw_deepcache_enabled_twice_recurses() -> None:
    raw = new("sd")
    raw_deepcache(raw, CACHED).enable()
    with pytest.raises(RecursionError):
        pictures(raw)


def test_6_a_raw_helper_stays_active_below_a_later_one() -> None:
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
    """Set a known scheduler so that it rounds the last two noise levels to the same timestep."""
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, use_exponential_sigmas=True
    )
    pipeline.scheduler.set_timesteps(MANY)
    timesteps = pipeline.scheduler.timesteps.tolist()
    assert len(set(timesteps)) < len(timesteps)


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


def readings(generate: Callable[..., Any]) -> int:
    """How many values are read from tensors; each reading would wait for a GPU."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        pictures(generate)
    return sum(
        event.count for event in seen.key_averages() if event.key == "aten::_local_scalar_dense"
    )


def test_7_raw_deepcache_reads_timesteps_back_and_ours_does_not() -> None:
    baseline = readings(tiny("sd"))
    raw = new("sd")
    raw_deepcache(raw, ALTERNATE)
    assert readings(raw) >= baseline + STEPS
    with applied(tiny("sd"), (ALTERNATE,)) as generate:
        assert readings(generate) == baseline
