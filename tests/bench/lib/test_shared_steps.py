"""Settings whose first steps are shared give the same pictures as when generated alone."""

from itertools import product

import pytest

from bench.lib.shared_steps import Trail, in_order, keys_of, restarts, shared
from tests.helpers.pipelines import LATENT_SIDE, STEPS, UNETS, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.plans.plan import plan_of, shape_of
from tuner.setting import Params, Setting

DEEPCACHE: list[Params] = [
    {},
    {"deepcache": {"cache_interval": 2, "cache_branch_id": 1}},
    {"deepcache": {"cache_interval": 3, "cache_branch_id": 0}},
]
TOME: list[Params] = [{}, {"tome": {"ratio": 0.5, "max_downsample": 1}}]
TGATE: list[Params] = [{}] + [
    {"tgate": {"gate_step": g, "sp_interval": s, "fi_interval": f, "warmup": w}}
    for g, s, f, w in product((3, 6), (2, 3), (1, 2), (1,))
]
SETTINGS = [Setting.of({**d, **m, **g}) for d, m, g in product(DEEPCACHE, TOME, TGATE)]


@pytest.mark.slow
@pytest.mark.parametrize("family", UNETS)
def test_shared_steps_change_no_picture(family: str) -> None:
    pipeline = tiny(family)
    shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
    trail = Trail()
    computed = 0

    def count(*_: object) -> None:
        nonlocal computed
        computed += 1

    first = next(iter(pipeline.unet.down_blocks))
    counter = first.register_forward_hook(count)
    passes = []
    for setting in in_order(SETTINGS, shape, STEPS):
        computed = 0
        with shared(pipeline, setting, shape, STEPS, trail, seed=0) as generate:
            generated = pictures(generate)
        passes.append(computed)
        with applied(pipeline, setting.accelerators, seed=0) as generate:
            assert same(generated, pictures(generate)), str(setting)
    counter.remove()
    assert sum(passes) < 0.75 * STEPS * len(SETTINGS)  # otherwise sharing would save nothing


def test_after_shared_generations_the_pipeline_is_unchanged() -> None:
    pipeline = tiny("sd")
    before = pictures(pipeline)
    shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
    with shared(pipeline, SETTINGS[-1], shape, STEPS, Trail(), seed=0) as generate:
        pictures(generate)
    assert "forward" not in vars(pipeline.unet)
    assert same(before, pictures(pipeline))


def test_a_restart_uses_nothing_that_was_cached_before_it() -> None:
    pipeline = tiny("sd")
    shape = shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)
    gated = Setting.of({"tgate": {"gate_step": 5, "sp_interval": 9, "fi_interval": 1, "warmup": 1}})
    plan = plan_of(gated.accelerators, shape, STEPS)
    # Steps 2 and 3 reuse step 1; from the gate on, cross-attention is that of step 4.
    assert list(restarts(plan)) == [0, 1, 4]
    assert len(keys_of(gated, plan)) == STEPS
