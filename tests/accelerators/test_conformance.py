"""What every accelerator must keep to, alone and in every allowed combination.

A new accelerator needs one line in `STRONG`, and nothing else.
"""

from functools import cache
from itertools import combinations
from typing import Any

import diffusers
import numpy as np
import pytest
import tgate
import tomesd
from DeepCache import DeepCacheSDHelper
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.pipelines import FAMILIES, PROMPTS, double, new, pictures, same, tiny
from tuner import registry
from tuner.accelerators import Accelerator, Value
from tuner.accelerators._applied import applied, check
from tuner.errors import UnfitError, UsageError
from tuner.schedulers import SCHEDULERS, set_scheduler
from tuner.setting import Params, Setting

# Strong enough to change the pictures in a few steps. T-GATE's warm-up step and its gate fall on
# steps that this DeepCache skips.
STRONG: Params = {
    "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
    "pab": {"cross_interval": 6, "self_interval": 4, "warmup": 1},
    "tgate": {"gate_step": 6, "sp_interval": 5, "fi_interval": 2, "warmup": 1},
    "tome": {"ratio": 0.5, "max_downsample": 2},
}

Names = tuple[str, ...]
KNOWN: dict[str, type[Accelerator]] = registry.components("accelerators")


def setting(names: Names) -> Setting:
    return Setting.of({name: STRONG[name] for name in names})


def neutral(names: Names) -> Setting:
    """Applied, but with nothing to do."""
    return Setting.of({name: KNOWN[name].neutral for name in names})


def another(names: Names) -> Setting:
    """The first knob's first value and the others' last ones."""
    found: dict[str, dict[str, Value]] = {}
    for name in names:
        first, *others = KNOWN[name].knobs()
        found[name] = {first.name: first.values[0]} | {one.name: one.values[-1] for one in others}
    return Setting.of(found)


def allowed(names: Names) -> bool:
    try:
        neutral(names)
    except UsageError:
        return False
    return True


COMBINATIONS = [
    names
    for size in range(1, len(KNOWN) + 1)
    for names in combinations(KNOWN, size)
    if allowed(names)
]

every_accelerator = pytest.mark.parametrize("name", KNOWN)
every_family = pytest.mark.parametrize("family", FAMILIES)
every_scheduler = pytest.mark.parametrize("scheduler", SCHEDULERS)
every_combination = pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)


@cache
def baseline(family: str, scheduler: str) -> np.ndarray:
    """The pictures of a pipeline that nothing has ever touched."""
    pipeline = new(family)
    set_scheduler(pipeline, scheduler)
    return pictures(pipeline)


@cache
def accelerated(family: str, scheduler: str, names: Names) -> np.ndarray:
    """The strong setting's pictures; ask before anything is applied to the shared pipeline."""
    pipeline = tiny(family, scheduler)
    with applied(pipeline, setting(names).accelerators) as generate:
        return pictures(generate)


def state(pipeline: Any) -> dict[str, Any]:
    """What an accelerator could leave behind: attributes, classes, hooks and processors."""
    return {
        "pipeline": set(vars(pipeline)),
        **{
            name: (
                type(module),
                set(vars(module)),
                len(module._forward_hooks),
                len(module._forward_pre_hooks),
                id(getattr(module, "processor", None)),
            )
            for name, module in pipeline.unet.named_modules()
        },
    }


class BrokenOff(BaseException):
    """Raised in the middle of a generation; like Ctrl-C, it is no `Exception`."""


def raise_at_step_3(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> Any:
    if step == 3:
        raise BrokenOff
    return tensors


def test_every_accelerator_has_a_line_in_the_table_here() -> None:
    assert set(STRONG) == set(KNOWN)


def test_the_combinations_include_every_accelerator_alone() -> None:
    assert COMBINATIONS[: len(KNOWN)] == [(name,) for name in KNOWN]


@every_accelerator
def test_the_published_settings_are_within_the_knobs_limits(name: str) -> None:
    for values in KNOWN[name].known_good:
        assert KNOWN[name].from_values(values).values() == values


@every_scheduler
@every_family
@every_combination
def test_the_baseline_is_untouched_before_and_after(
    names: Names, family: str, scheduler: str
) -> None:
    expected = baseline(family, scheduler)
    pipeline = tiny(family, scheduler)
    assert same(pictures(pipeline), expected)
    before = state(pipeline)

    with applied(pipeline, setting(names).accelerators) as generate:
        pictures(generate)

    assert state(pipeline) == before
    assert same(pictures(pipeline), expected)


@every_scheduler
@every_family
@every_combination
def test_an_exception_in_the_middle_leaves_nothing_behind(
    names: Names, family: str, scheduler: str
) -> None:
    expected = baseline(family, scheduler)
    pipeline = tiny(family, scheduler)
    before = state(pipeline)

    with (
        pytest.raises(BrokenOff),
        applied(pipeline, setting(names).accelerators) as generate,
    ):
        pictures(generate, callback_on_step_end=raise_at_step_3)

    assert state(pipeline) == before
    assert same(pictures(pipeline), expected)


@every_family
@every_combination
def test_a_generation_after_one_that_broke_off_gives_the_same_picture(
    names: Names, family: str
) -> None:
    pipeline = tiny(family)
    with applied(pipeline, setting(names).accelerators) as generate:
        with pytest.raises(BrokenOff):
            pictures(generate, PROMPTS, first=7, callback_on_step_end=raise_at_step_3)
        again = pictures(generate)
    assert same(again, accelerated(family, "DDIM", names))


@every_scheduler
@every_family
@every_combination
def test_repeated_and_interleaved_generations_agree(
    names: Names, family: str, scheduler: str
) -> None:
    expected = accelerated(family, scheduler, names)
    pipeline = tiny(family, scheduler)
    with applied(pipeline, setting(names).accelerators) as generate:
        assert same(pictures(generate), expected)
        other = pictures(generate, PROMPTS[2:], first=7)
        assert same(pictures(generate), expected)
    with applied(pipeline, another(names).accelerators) as generate:
        pictures(generate)
    with applied(pipeline, setting(names).accelerators) as generate:
        assert same(pictures(generate, PROMPTS[2:], first=7), other)
        assert same(pictures(generate), expected)


@every_family
def test_the_order_of_combinations_does_not_matter(family: str) -> None:
    for names in reversed(COMBINATIONS):
        expected = accelerated(family, "DDIM", names)
        with applied(tiny(family), setting(names).accelerators) as generate:
            assert same(pictures(generate), expected)


@every_family
@every_combination
def test_accelerators_may_be_given_in_any_order(names: Names, family: str) -> None:
    expected = accelerated(family, "DDIM", names)
    accelerators = setting(names).accelerators[::-1]
    with applied(tiny(family), accelerators) as generate:
        assert same(pictures(generate), expected)


@every_scheduler
@every_family
@every_combination
def test_a_neutral_setting_gives_the_baselines_pictures(
    names: Names, family: str, scheduler: str
) -> None:
    pipeline = tiny(family, scheduler)
    with applied(pipeline, neutral(names).accelerators) as generate:
        assert same(pictures(generate), baseline(family, scheduler))


@every_scheduler
@every_family
@every_combination
def test_every_accelerator_of_a_combination_changes_the_pictures(
    names: Names, family: str, scheduler: str
) -> None:
    found = accelerated(family, scheduler, names)
    for left_out in names:
        fewer = tuple(name for name in names if name != left_out)
        without = accelerated(family, scheduler, fewer) if fewer else baseline(family, scheduler)
        assert not np.allclose(found, without, atol=1e-4), left_out


@every_scheduler
@every_family
@every_combination
def test_the_pictures_do_not_depend_on_the_batch(names: Names, family: str, scheduler: str) -> None:
    pipeline = double(family, scheduler)
    with applied(pipeline, setting(names).accelerators) as generate:
        together = pictures(generate, PROMPTS)
        first_two = pictures(generate, PROMPTS[:2])
        alone = [pictures(generate, [prompt], first=index) for index, prompt in enumerate(PROMPTS)]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=0, atol=1e-6)
    np.testing.assert_allclose(first_two, together[:2], rtol=0, atol=1e-6)


@every_family
@every_combination
def test_a_second_application_is_refused_and_the_first_goes_on(names: Names, family: str) -> None:
    expected = accelerated(family, "DDIM", names)
    pipeline = tiny(family)
    with applied(pipeline, setting(names).accelerators) as generate:
        with (
            pytest.raises(UsageError, match="accelerated already") as refusal,
            applied(pipeline, another(names).accelerators),
        ):
            raise AssertionError("applied twice")
        assert "\n" not in str(refusal.value)
        assert same(pictures(generate), expected)
    assert same(pictures(pipeline), baseline(family, "DDIM"))


def patch(pipeline: Any, package: str) -> None:
    """Leave the pipeline as the package itself leaves it."""
    if package == "tomesd":
        tomesd.apply_patch(pipeline, ratio=0.5, max_downsample=2)
    elif package == "DeepCache":
        helper = DeepCacheSDHelper(pipe=pipeline)
        helper.set_params(cache_interval=3, cache_branch_id=0)
        helper.enable()
    else:
        loaders = {"sd": tgate.TgateSDLoader, "sdxl": tgate.TgateSDXLLoader}
        family = "sdxl" if hasattr(pipeline, "text_encoder_2") else "sd"
        pictures(loaders[family](pipeline).tgate, gate_step=5)


@pytest.mark.parametrize("package", ["tomesd", "DeepCache", "tgate"])
@every_family
@every_accelerator
def test_a_pipeline_that_other_code_patched_is_refused(
    name: str, family: str, package: str
) -> None:
    pipeline = new(family)
    patch(pipeline, package)
    with (
        pytest.raises(UsageError, match="accelerated already") as refusal,
        applied(pipeline, setting((name,)).accelerators),
    ):
        raise AssertionError("applied to a patched pipeline")
    assert "\n" not in str(refusal.value)


def ddpm() -> Any:
    """A U-Net without text and without the blocks that the accelerators know."""
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDIMScheduler())


def pixart() -> Any:
    """A transformer; no U-Net at all."""
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=4,
        num_attention_heads=2,
        cross_attention_dim=8,
        caption_channels=8,
        in_channels=4,
    )
    return diffusers.PixArtAlphaPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=tiny("sd").vae,
        transformer=transformer,
        scheduler=diffusers.DDIMScheduler(),
    )


@pytest.mark.parametrize("other", [ddpm, pixart], ids=lambda other: other.__name__)
@every_combination
def test_a_pipeline_without_the_right_unet_is_refused(names: Names, other: Any) -> None:
    pipeline = other()
    with (
        pytest.raises(UnfitError, match=type(pipeline).__name__) as refusal,
        applied(pipeline, setting(names).accelerators),
    ):
        raise AssertionError("applied to a pipeline that does not fit")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("scheduler", ["PNDMScheduler", "HeunDiscreteScheduler"])
@every_combination
def test_a_scheduler_that_repeats_timesteps_is_refused(names: Names, scheduler: str) -> None:
    pipeline = new("sd")
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    with pytest.raises(UnfitError, match=scheduler) as refusal:
        check(pipeline, setting(names).accelerators)
    for alternative in SCHEDULERS:
        assert alternative in str(refusal.value)
    assert "\n" not in str(refusal.value)


@every_combination
def test_a_scheduler_that_is_changed_after_the_application_is_refused(names: Names) -> None:
    pipeline = new("sd")
    with applied(pipeline, setting(names).accelerators) as generate:
        pipeline.scheduler = diffusers.PNDMScheduler.from_config(pipeline.scheduler.config)
        with pytest.raises(UnfitError, match="PNDMScheduler"):
            pictures(generate)


@every_family
@every_combination
def test_without_guidance_a_combination_works_or_is_refused_in_one_line(
    names: Names, family: str
) -> None:
    expected = accelerated(family, "DDIM", names)
    pipeline = tiny(family)
    plain = pictures(pipeline, guidance_scale=1.0)
    with applied(pipeline, setting(names).accelerators) as generate:
        if refuses_no_guidance(setting(names)):
            with pytest.raises(UnfitError, match="guidance_scale") as refusal:
                pictures(generate, guidance_scale=1.0)
            assert "\n" not in str(refusal.value)
        else:
            found = pictures(generate, guidance_scale=1.0)
            assert same(pictures(generate, guidance_scale=1.0), found)
            assert not np.allclose(found, plain, atol=1e-4)
        assert same(pictures(generate), expected)


def refuses_no_guidance(some: Setting) -> bool:
    try:
        for part in some.accelerators:
            part.check_call({"guidance_scale": 1.0})
    except UnfitError:
        return True
    return False


@st.composite
def any_setting(draw: Any) -> Setting:
    """A setting of the values that a search tries, "off" included."""
    parts: list[Accelerator] = []
    for accelerator in KNOWN.values():
        first, *others = accelerator.knobs()
        value = draw(st.sampled_from((first.off, *first.values)))
        if value != first.off and allowed((*(part.name for part in parts), accelerator.name)):
            rest = {one.name: draw(st.sampled_from(one.values)) for one in others}
            parts.append(accelerator.from_values({first.name: value, **rest}))
    return Setting(accelerators=tuple(parts))


@given(family=st.sampled_from(FAMILIES), some=any_setting(), other=any_setting())
@settings(
    max_examples=12, derandomize=True, deadline=None, database=None, phases=[Phase.generate]
)  # a failure is not made smaller: that takes minutes
def test_any_two_settings_in_turn_do_not_see_each_other(
    family: str, some: Setting, other: Setting
) -> None:
    pipeline = tiny(family)
    with applied(pipeline, some.accelerators) as generate:
        expected = pictures(generate)
    with applied(pipeline, other.accelerators) as generate:
        pictures(generate, PROMPTS[2:])
    with applied(pipeline, some.accelerators) as generate:
        pictures(generate, PROMPTS[2:])
        assert same(pictures(generate), expected)
    assert same(pictures(pipeline), baseline(family, "DDIM"))
