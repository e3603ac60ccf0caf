"""Properties that every accelerator must have, alone and in every allowed combination."""

import gc
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.accelerators.cases import (
    FITTING,
    KNOWN,
    STRONG,
    BrokenOff,
    Names,
    accelerated,
    another,
    any_setting,
    baseline,
    break_off,
    every_accelerator,
    every_alone_and_all_together,
    every_combination,
    every_fitting,
    every_scheduled,
    neutral,
    setting,
)
from tests.helpers.pipelines import FAMILIES, PROMPTS, double, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.errors import UnfitError
from tuner.pipelines.denoiser import denoiser_of
from tuner.setting import Setting


def state(pipeline: Any) -> dict[str, Any]:
    """What an accelerator might leave behind: attributes, classes, hooks and processors."""
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
            for name, module in denoiser_of(pipeline).named_modules()
        },
    }


def test_every_accelerator_has_a_line_in_the_table_of_cases() -> None:
    assert set(STRONG) == set(KNOWN)


@every_accelerator
def test_every_accelerator_fits_some_family(name: str) -> None:
    assert any(names == (name,) for names, _ in FITTING)


@every_accelerator
def test_the_published_settings_are_within_the_knobs_limits(name: str) -> None:
    for values in KNOWN[name].known_good:
        assert KNOWN[name].from_values(values).values() == values


@dataclass(frozen=True, kw_only=True)
class InTurn:
    """Pictures of a setting, before and after another setting was applied."""

    others: np.ndarray  # of other prompts, generated first
    pictures: np.ndarray
    repeated_pictures: np.ndarray  # after the other setting
    repeated_others: np.ndarray  # of the other prompts, generated last
    states: list[dict[str, Any]]  # of the pipeline: before, in between and afterwards
    plain: np.ndarray  # the pipeline's own pictures, afterwards


@cache
def in_turn(names: Names, family: str, scheduler: str) -> InTurn:
    """Generate with two settings in turn; cached for all tests that check the result."""
    accelerated(family, names, scheduler)  # cached before this pipeline is used
    pipeline = tiny(family, scheduler)
    states = [state(pipeline)]
    with applied(pipeline, setting(names).accelerators) as generate:
        others = pictures(generate, PROMPTS[2:], first=7)
        first = pictures(generate)
    states.append(state(pipeline))
    with applied(pipeline, another(names).accelerators) as generate:
        pictures(generate)
    with applied(pipeline, setting(names).accelerators) as generate:
        repeated = pictures(generate)
        repeated_others = pictures(generate, PROMPTS[2:], first=7)
    states.append(state(pipeline))
    return InTurn(
        pictures=first,
        others=others,
        repeated_pictures=repeated,
        repeated_others=repeated_others,
        states=states,
        plain=pictures(pipeline),
    )


@every_scheduled
def test_afterwards_the_pipeline_is_as_it_was(names: Names, family: str, scheduler: str) -> None:
    before, *after = in_turn(names, family, scheduler).states
    assert after == [before] * 2
    assert same(in_turn(names, family, scheduler).plain, baseline(family, scheduler))


@every_fitting
def test_an_exception_in_the_middle_leaves_nothing_behind(names: Names, family: str) -> None:
    expected = baseline(family)
    pipeline = tiny(family)
    before = state(pipeline)

    with (
        pytest.raises(BrokenOff),
        applied(pipeline, setting(names).accelerators) as generate,
    ):
        break_off(generate)

    assert state(pipeline) == before
    assert same(pictures(pipeline), expected)


@every_alone_and_all_together
def test_a_generation_after_one_that_broke_off_gives_the_same_picture(
    names: Names, family: str
) -> None:
    pipeline = tiny(family)
    with applied(pipeline, setting(names).accelerators) as generate:
        with pytest.raises(BrokenOff):
            break_off(generate, *PROMPTS, first=7)
        repeated = pictures(generate)
    assert same(repeated, accelerated(family, names))


@every_combination
def test_nothing_that_a_generation_kept_outlives_it(names: Names, family: str) -> None:
    pipeline = tiny(family)
    seen: list[ref[torch.Tensor]] = []

    def note(module: Any, args: Any, output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        seen.extend(ref(tensor) for tensor in outputs if isinstance(tensor, torch.Tensor))

    with ExitStack() as hooks, applied(pipeline, setting(names).accelerators) as generate:
        for module in denoiser_of(pipeline).modules():
            hooks.callback(module.register_forward_hook(note).remove)
        gc.collect()
        gc.disable()  # a GPU's memory has to be freed at once, not when the collector runs
        try:
            pictures(generate)
            assert seen
            assert not [reference for reference in seen if reference() is not None]
        finally:
            gc.enable()


@every_scheduled
def test_repeated_and_interleaved_generations_agree(
    names: Names, family: str, scheduler: str
) -> None:
    expected = accelerated(family, names, scheduler)
    results = in_turn(names, family, scheduler)
    assert same(results.pictures, expected)
    assert same(results.repeated_pictures, expected)
    assert same(results.repeated_others, results.others)


@pytest.mark.slow  # by default only a few pairs are tried, below
@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_combinations_does_not_matter(family: str) -> None:
    for names in reversed([names for names, fitting in FITTING if fitting == family]):
        expected = accelerated(family, names)
        with applied(tiny(family), setting(names).accelerators) as generate:
            assert same(pictures(generate), expected)


@every_combination
def test_accelerators_may_be_given_in_any_order(names: Names, family: str) -> None:
    expected = accelerated(family, names)
    accelerators = setting(names).accelerators[::-1]
    with applied(tiny(family), accelerators) as generate:
        assert same(pictures(generate), expected)


@every_scheduled
def test_a_neutral_setting_gives_the_baselines_pictures(
    names: Names, family: str, scheduler: str
) -> None:
    pipeline = tiny(family, scheduler)
    with applied(pipeline, neutral(names).accelerators) as generate:
        assert same(pictures(generate), baseline(family, scheduler))


@every_scheduled
def test_every_accelerator_of_a_combination_changes_the_pictures(
    names: Names, family: str, scheduler: str
) -> None:
    combined = accelerated(family, names, scheduler)
    for left_out in names:
        fewer = tuple(name for name in names if name != left_out)
        without = accelerated(family, fewer, scheduler) if fewer else baseline(family, scheduler)
        assert not np.allclose(combined, without, atol=1e-4), left_out


@every_scheduled
def test_the_pictures_do_not_depend_on_the_batch(names: Names, family: str, scheduler: str) -> None:
    pipeline = double(family, scheduler)
    with applied(pipeline, setting(names).accelerators) as generate:
        together = pictures(generate, PROMPTS)
        first_two = pictures(generate, PROMPTS[:2])
        last_alone = pictures(generate, PROMPTS[2:], first=2)
    apart = np.concatenate([first_two, last_alone])
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-6)


@every_alone_and_all_together
def test_without_guidance_a_combination_works_or_is_refused_in_one_line(
    names: Names, family: str
) -> None:
    expected = accelerated(family, names)
    pipeline = tiny(family)
    plain = pictures(pipeline, guidance_scale=1.0)
    with applied(pipeline, setting(names).accelerators) as generate:
        if refuses_no_guidance(pipeline, setting(names)):
            with pytest.raises(UnfitError, match="guidance_scale") as refusal:
                pictures(generate, guidance_scale=1.0)
            assert "\n" not in str(refusal.value)
        else:
            unguided = pictures(generate, guidance_scale=1.0)
            assert same(pictures(generate, guidance_scale=1.0), unguided)
            assert not np.allclose(unguided, plain, atol=1e-4)
        assert same(pictures(generate), expected)


def refuses_no_guidance(pipeline: Any, some: Setting) -> bool:
    try:
        for part in some.accelerators:
            part.check_call(pipeline, {"guidance_scale": 1.0})
    except UnfitError:
        return True
    return False


@given(data=st.data(), family=st.sampled_from(FAMILIES))
@settings(
    max_examples=12, derandomize=True, deadline=None, database=None, phases=[Phase.generate]
)  # hypothesis does not shrink a failure, which would take minutes
def test_any_two_settings_in_turn_do_not_affect_each_other(
    data: st.DataObject, family: str
) -> None:
    some, other = data.draw(any_setting(family)), data.draw(any_setting(family))
    pipeline = tiny(family)
    with applied(pipeline, some.accelerators) as generate:
        expected = pictures(generate)
    with applied(pipeline, other.accelerators) as generate:
        pictures(generate, PROMPTS[2:])
    with applied(pipeline, some.accelerators) as generate:
        pictures(generate, PROMPTS[2:])
        assert same(pictures(generate), expected)
    assert same(pictures(pipeline), baseline(family))


@pytest.mark.slow
@every_fitting
def test_in_rectangles_a_neutral_setting_changes_nothing_and_neighbours_neither(
    names: Names, family: str
) -> None:
    pipeline = tiny(family)
    size = {"height": 32, "width": 24}  # a U-Net rounds the width of its coarsest layers
    with applied(pipeline, neutral(names).accelerators) as generate:
        drawn = pictures(generate, **size)
    assert same(drawn, pictures(pipeline, **size))
    exact = double(family)
    with applied(exact, setting(names).accelerators) as generate:
        together = pictures(generate, **size)
        alone = pictures(generate, PROMPTS[1:2], first=1, **size)
    assert np.allclose(together[1:], alone, atol=1e-6)
