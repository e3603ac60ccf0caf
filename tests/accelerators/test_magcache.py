"""MagCache: what diffusers' does by itself, and how our application differs."""

import numpy as np
import pytest
from diffusers import (
    MagCacheConfig,
    apply_mag_cache,
)
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

from tests.helpers.pipelines import new, pictures, same
from tuner.accelerators.magcache import MagCache
from tuner.applying.applied import applied
from tuner.errors import UnfitError


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
        pytest.raises(UnfitError, match="default sigmas"),
    ):
        pictures(generate, sigmas=[1.0, 0.5])
