"""The order of a setting's batches: a law, whatever their sizes."""

import random

from hypothesis import given, settings
from hypothesis import strategies as some

from tuner.measure.batches import in_order, split


@settings(max_examples=200)
@given(
    count=some.integers(1, 40),
    more=some.integers(0, 60),
    size=some.integers(1, 12),
    seed=some.integers(0, 99),
    drawn=some.booleans(),
)
def test_a_setting_has_as_many_prompts_as_every_other_and_then_all_that_are_left(
    count: int, more: int, size: int, seed: int, drawn: bool
) -> None:
    own, further = split(0, count, size), split(count, count + more, size)
    found = in_order(own, further, random.Random(seed), drawn=drawn)
    assert sorted(found, key=lambda one: one.start) == [*own, *further]
    first, rest = found[: len(own)], found[len(own) :]
    assert sum(map(len, first)) == count
    assert own[0] in first
    assert all(len(one) == len(own[0]) for one in first[:-1])
    if not drawn:
        assert rest == sorted(rest, key=lambda one: (len(one) != len(own[0]), one.start))
        assert set(first) == set(own)


def test_two_settings_draw_other_prompts() -> None:
    own, further = split(0, 32, 4), split(32, 128, 4)
    one, other = (
        set(in_order(own, further, random.Random(seed), drawn=True)[:8]) for seed in (1, 2)
    )
    assert own[0] in one & other
    assert one != other
