"""Accelerators on PixArt's transformers."""

from typing import Any

import pytest
from diffusers.models.attention import BasicTransformerBlock

from tests.accelerators.cases import FITTING, setting
from tests.accelerators.upstream import GATED
from tests.helpers.pipelines import PROMPTS, STEPS, new, pictures, same, tiny
from tuner.accelerators.tome import ToMe
from tuner.applying.applied import applied
from tuner.canonical import canonical
from tuner.errors import UsageError
from tuner.pipelines.denoiser import denoiser_of
from tuner.plans.plan import check_sides, plan_of, shape_of
from tuner.setting import Setting

both = pytest.mark.parametrize("family", ["pixart", "sigma"])


class Rows:
    """How many pictures each pass of the denoiser computes."""

    def __init__(self, pipeline: Any) -> None:
        self.seen: list[int] = []
        self.handle = denoiser_of(pipeline).register_forward_pre_hook(self.note)

    def note(self, module: Any, args: Any) -> None:
        self.seen.append(len(args[0]))


@both
def test_the_gate_halves_the_batch(family: str) -> None:
    pipeline = new(family)
    rows = Rows(pipeline)
    with applied(pipeline, (GATED,)) as generate:
        pictures(generate, PROMPTS)
    assert rows.seen == [6] * 6 + [3] * 2


def test_everything_that_fits_alpha_fits_sigma_and_is_undone() -> None:
    pipeline = new("sigma")
    expected = pictures(pipeline)
    seen = [expected]
    for names, family in FITTING:
        if family == "pixart":
            with applied(pipeline, setting(names).accelerators) as generate:
                actual = pictures(generate)
                assert same(pictures(generate), actual)
            assert not any(same(actual, other) for other in seen), names
            assert same(pictures(pipeline), expected)
            seen.append(actual)
    assert len(seen) > 3


@pytest.mark.parametrize("family", ["sd", "sdxl", "pixart"])
def test_tome_merges_as_many_tokens_as_its_plan_says(family: str) -> None:
    pipeline = new(family)
    merging = ToMe(ratio=0.5, max_downsample=2)
    whole: list[int] = []
    projected: list[int] = []
    for block in denoiser_of(pipeline).modules():
        if isinstance(block, BasicTransformerBlock):
            block.register_forward_pre_hook(lambda module, args: whole.append(args[0].shape[1]))
    with applied(pipeline, (merging,)) as generate:
        for block in denoiser_of(pipeline).modules():
            if isinstance(block, BasicTransformerBlock):
                block.attn1.to_q.register_forward_hook(
                    lambda module, args, output: projected.append(output.shape[1])
                )
        pictures(generate, num_inference_steps=1)
    merged = plan_of((merging,), shape_of(pipeline, 16), 1).merged
    assert sorted(a - b for a, b in zip(whole, projected, strict=True)) == sorted(merged)
    assert any(merged)


def test_settings_of_tome_are_distinguished_by_their_ratio_alone() -> None:
    shape = shape_of(tiny("pixart"), 128)
    assert (shape.height, shape.width, len(shape.layers)) == (32, 32, 3)
    first, second = ToMe.knobs()
    raw = [
        Setting.of({"tome": {"ratio": ratio, "max_downsample": downsample}})
        for ratio in first.values
        for downsample in second.values
    ]
    canonical_forms = {canonical(setting, shape, STEPS) for setting in raw}
    assert len(raw) == 36
    assert {str(setting) for setting in canonical_forms} == {
        f"tome 0.{tenths}/1" for tenths in range(1, 9)
    }


def test_sides_that_do_not_divide_into_patches_are_refused() -> None:
    check_sides(tiny("pixart"), {"resolution": 16})
    check_sides(tiny("sd"), {"height": 18, "width": 20})
    with pytest.raises(UsageError, match=r"^height must be a multiple of 4 for Pix.*, not 18$"):
        check_sides(tiny("pixart"), {"height": 18, "width": 16})
    with pytest.raises(UsageError, match=r"^resolution must be a multiple of 4 for Pix.*not 18$"):
        check_sides(tiny("pixart"), {"resolution": 18})
