"""Settings with equal plans give the same pictures bit for bit; the others do not."""

import random
from collections import defaultdict
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.accelerators.cases import BY_DEFAULT, DECIDE_BY_THE_PICTURE, FITTING, KNOWN, fits
from tests.helpers.pipelines import FAMILIES, LATENT_SIDE, STEPS, UNETS, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.canonical import canonical, computation_of
from tuner.plans.plan import Shape, shape_of
from tuner.setting import Setting

# A few pairs of settings in the default run, many in the slow one.
COUNTS = pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.slow)])
TOGETHER = [case for case in FITTING if len(case[0]) > 1 and {*case[0]} <= BY_DEFAULT]


def draws(count: int) -> settings:
    """So many examples, the same each time."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
    )


@cache
def shape(family: str) -> Shape:
    pipeline = tiny(family)
    return shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)


@cache
def everything(name: str) -> tuple[Setting, ...]:
    """Every setting of an accelerator that a search tries, and the baseline."""
    first, *others = KNOWN[name].knobs()
    settings_of_it = [Setting()]
    for values in product(*(knob.values for knob in (first, *others))):
        knobs = {knob.name: value for knob, value in zip((first, *others), values, strict=True)}
        settings_of_it.append(Setting.of({name: knobs}))
    return tuple(settings_of_it)


@cache
def groups(family: str, name: str) -> tuple[tuple[Setting, ...], ...]:
    """The settings of an accelerator, those of the same plan together."""
    by_computation: dict[Any, list[Setting]] = defaultdict(list)
    for setting in everything(name):
        by_computation[computation_of(setting, shape(family), STEPS)].append(setting)
    return tuple(map(tuple, by_computation.values()))


@cache
def shared(family: str) -> tuple[str, ...]:
    """The accelerators that have equal settings on this family."""
    fitting = (name for name in KNOWN if fits((name,), family))
    return tuple(name for name in fitting if any(len(group) > 1 for group in groups(family, name)))


def picture(family: str, setting: Setting) -> np.ndarray:
    with applied(tiny(family), setting.accelerators) as generate:
        return pictures(generate)


@st.composite
def equal_pair(draw: Any) -> tuple[str, Setting, Setting]:
    family = draw(st.sampled_from(FAMILIES))
    name = draw(st.sampled_from(shared(family)))
    several = [group for group in groups(family, name) if len(group) > 1]
    group = draw(st.sampled_from(several))
    first, second = draw(st.lists(st.sampled_from(group), min_size=2, max_size=2, unique_by=str))
    return family, first, second


@st.composite
def different_pair(draw: Any) -> tuple[str, Setting, Setting]:
    family = draw(st.sampled_from(FAMILIES))
    planned = [name for name in KNOWN if name not in DECIDE_BY_THE_PICTURE]
    name = draw(st.sampled_from([name for name in planned if fits((name,), family)]))
    first, second = draw(
        st.lists(st.sampled_from(groups(family, name)), min_size=2, max_size=2, unique_by=id)
    )
    return family, draw(st.sampled_from(first)), draw(st.sampled_from(second))


@COUNTS
def test_settings_of_equal_plans_give_the_same_pictures_and_so_does_their_canonical_form(
    count: int,
) -> None:
    @given(equal_pair())
    @draws(count)
    def check(drawn: tuple[str, Setting, Setting]) -> None:
        family, first, second = drawn
        least = canonical(first, shape(family), STEPS)
        assert computation_of(least, shape(family), STEPS) == computation_of(
            first, shape(family), STEPS
        )
        shown = picture(family, first)
        assert same(shown, picture(family, second))
        assert least in (first, second) or same(shown, picture(family, least))

    check()


@COUNTS
def test_settings_of_different_plans_give_different_pictures(count: int) -> None:
    @given(different_pair())
    @draws(count)
    def check(drawn: tuple[str, Setting, Setting]) -> None:
        family, first, second = drawn
        assert not same(picture(family, first), picture(family, second))

    check()


@st.composite
def neighbours(draw: Any) -> tuple[str, Setting, Setting]:
    """A combination, and the same with other knobs of one of its accelerators."""
    names, family = draw(st.sampled_from(TOGETHER))
    parts = {name: draw(st.sampled_from(everything(name)[1:])).params[name] for name in names}
    changed = draw(st.sampled_from(names))
    others = draw(st.sampled_from(everything(changed))).params
    rest = {name: values for name, values in parts.items() if name != changed}
    return family, Setting.of(parts), Setting.of(rest | others)


@COUNTS
def test_combinations_give_the_same_pictures_exactly_if_their_plans_are_equal(count: int) -> None:
    @given(neighbours())
    @draws(count)
    def check(drawn: tuple[str, Setting, Setting]) -> None:
        family, first, second = drawn
        equal = computation_of(first, shape(family), STEPS) == computation_of(
            second, shape(family), STEPS
        )
        assert same(picture(family, first), picture(family, second)) == equal

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_equal_settings_to_compare(family: str) -> None:
    assert shared(family)


@pytest.mark.parametrize("family", UNETS)
def test_the_canonical_form_of_a_combination_is_the_same_computation(family: str) -> None:
    # If every layer runs at every step, T-GATE's warmups 2 and 3 are the same computation here.
    # With DeepCache, some layers do not run at the step at which the two differ.
    warmups = [{"gate_step": 8, "sp_interval": 3, "fi_interval": 5, "warmup": w} for w in (2, 3)]
    two = {"cache_interval": 2, "cache_branch_id": 0}
    alone = {canonical(Setting.of({"tgate": w}), shape(family), STEPS + 4) for w in warmups}
    combined = {
        canonical(Setting.of({"deepcache": two, "tgate": w}), shape(family), STEPS + 4)
        for w in warmups
    }
    assert (len(alone), len(combined)) == (1, 2)
    rng = random.Random(0)
    for _ in range(200):
        setting = Setting.of(
            {
                name: rng.choice(everything(name)[1:]).params[name]
                for name in ("deepcache", "tome", "tgate")
            }
        )
        least = canonical(setting, shape(family), STEPS)
        assert canonical(least, shape(family), STEPS) == least
        assert computation_of(least, shape(family), STEPS) == computation_of(
            setting, shape(family), STEPS
        )
