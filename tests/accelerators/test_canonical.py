"""Settings that the plan calls equal give the same pictures bit for bit; the others do not."""

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
from tests.pipelines import FAMILIES, LATENT_SIDE, STEPS, UNETS, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.canonical import canonical, computation_of
from tuner.plans.plan import Shape, shape_of
from tuner.setting import Setting

TOGETHER = [one for one in FITTING if len(one[0]) > 1 and {*one[0]} <= BY_DEFAULT]

draws = settings(
    max_examples=24, derandomize=True, deadline=None, database=None, phases=[Phase.generate]
)


@cache
def shape(family: str) -> Shape:
    pipeline = tiny(family)
    return shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)


@cache
def everything(name: str) -> tuple[Setting, ...]:
    """Every setting of an accelerator that a search tries, and the one that leaves it out."""
    first, *others = KNOWN[name].knobs()
    found = [Setting()]
    for values in product(*(one.values for one in (first, *others))):
        knobs = {one.name: value for one, value in zip((first, *others), values, strict=True)}
        found.append(Setting.of({name: knobs}))
    return tuple(found)


@cache
def groups(family: str, name: str) -> tuple[tuple[Setting, ...], ...]:
    """The settings of an accelerator, those of the same plan together."""
    found: dict[Any, list[Setting]] = defaultdict(list)
    for setting in everything(name):
        found[computation_of(setting, shape(family), STEPS)].append(setting)
    return tuple(map(tuple, found.values()))


@cache
def shared(family: str) -> tuple[str, ...]:
    """The accelerators that have equal settings on this family."""
    fitting = (name for name in KNOWN if fits((name,), family))
    return tuple(name for name in fitting if any(len(one) > 1 for one in groups(family, name)))


def picture(family: str, setting: Setting) -> np.ndarray:
    with applied(tiny(family), setting.accelerators) as generate:
        return pictures(generate)


@st.composite
def equal_pair(draw: Any) -> tuple[str, Setting, Setting]:
    family = draw(st.sampled_from(FAMILIES))
    name = draw(st.sampled_from(shared(family)))
    several = [one for one in groups(family, name) if len(one) > 1]
    group = draw(st.sampled_from(several))
    one, other = draw(st.lists(st.sampled_from(group), min_size=2, max_size=2, unique_by=str))
    return family, one, other


@st.composite
def different_pair(draw: Any) -> tuple[str, Setting, Setting]:
    family = draw(st.sampled_from(FAMILIES))
    planned = [name for name in KNOWN if name not in DECIDE_BY_THE_PICTURE]
    name = draw(st.sampled_from([name for name in planned if fits((name,), family)]))
    one, other = draw(
        st.lists(st.sampled_from(groups(family, name)), min_size=2, max_size=2, unique_by=id)
    )
    return family, draw(st.sampled_from(one)), draw(st.sampled_from(other))


@given(equal_pair())
@draws
def test_settings_of_one_plan_give_the_same_pictures(drawn: tuple[str, Setting, Setting]) -> None:
    family, one, other = drawn
    assert same(picture(family, one), picture(family, other))


@given(different_pair())
@draws
def test_settings_of_different_plans_give_different_pictures(
    drawn: tuple[str, Setting, Setting],
) -> None:
    family, one, other = drawn
    assert not same(picture(family, one), picture(family, other))


@given(equal_pair())
@draws
def test_the_canonical_form_is_one_of_the_equal_settings(
    drawn: tuple[str, Setting, Setting],
) -> None:
    family, one, other = drawn
    least = canonical(one, shape(family), STEPS)
    assert computation_of(least, shape(family), STEPS) == computation_of(one, shape(family), STEPS)
    assert same(picture(family, least), picture(family, other))


@st.composite
def neighbours(draw: Any) -> tuple[str, Setting, Setting]:
    """A combination, and the same with other knobs of one of its accelerators."""
    names, family = draw(st.sampled_from(TOGETHER))
    parts = {name: draw(st.sampled_from(everything(name)[1:])).params[name] for name in names}
    changed = draw(st.sampled_from(names))
    others = draw(st.sampled_from(everything(changed))).params
    rest = {name: values for name, values in parts.items() if name != changed}
    return family, Setting.of(parts), Setting.of(rest | others)


@given(neighbours())
@draws
def test_in_a_combination_too_pictures_are_the_same_exactly_when_plans_are(
    drawn: tuple[str, Setting, Setting],
) -> None:
    family, one, other = drawn
    equal = computation_of(one, shape(family), STEPS) == computation_of(other, shape(family), STEPS)
    assert same(picture(family, one), picture(family, other)) == equal


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_equal_settings_to_compare(family: str) -> None:
    assert shared(family)


@pytest.mark.parametrize("family", UNETS)
def test_the_canonical_form_of_a_combination_is_the_same_computation(family: str) -> None:
    # With every layer at every step T-GATE's warmups 2 and 3 are the same here; DeepCache leaves
    # layers out at the step that tells them apart.
    warmups = [{"gate_step": 8, "sp_interval": 3, "fi_interval": 5, "warmup": w} for w in (2, 3)]
    two = {"cache_interval": 2, "cache_branch_id": 0}
    alone = {canonical(Setting.of({"tgate": w}), shape(family), STEPS + 4) for w in warmups}
    beside = {
        canonical(Setting.of({"deepcache": two, "tgate": w}), shape(family), STEPS + 4)
        for w in warmups
    }
    assert (len(alone), len(beside)) == (1, 2)
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
