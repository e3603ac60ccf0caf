"""TaylorSeer: what diffusers' does by itself, and how our application differs."""

import pytest
from diffusers import (
    TaylorSeerCacheConfig,
    apply_taylorseer_cache,
)
from diffusers.models import CacheMixin

from tests.accelerators.upstream import ours
from tests.helpers.pipelines import new, new_double, pictures, same, tiny
from tuner.accelerators.taylorseer import TaylorSeer
from tuner.canonical import canonical
from tuner.plans.plan import shape_of
from tuner.setting import Setting

ATTENTIONS = [r"transformer_blocks\.\d+\.attn[12]"]


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
