"""The order of a setting's batches, as a property that holds for all sizes."""

import random

from hypothesis import given, settings
from hypothesis import strategies as some

from tuner.measure.batches import shuffled, split


@settings(max_examples=200)
@given(
    count=some.integers(1, 40),
    more=some.integers(0, 60),
    size=some.integers(1, 12),
    seed=some.integers(0, 99),
    drawn=some.booleans(),
)
def test_every_setting_gets_equally_many_prompts_and_then_the_remaining_ones(
    count: int, more: int, size: int, seed: int, drawn: bool
) -> None:
    own, further = split(0, count, size), split(count, count + more, size)
    order = shuffled(own, further, random.Random(seed), drawn=drawn)
    assert sorted(order, key=lambda batch: batch.start) == [*own, *further]
    first, rest = order[: len(own)], order[len(own) :]
    assert sum(map(len, first)) == count
    assert own[0] in first
    assert all(len(batch) == len(own[0]) for batch in first[:-1])
    if not drawn:
        assert rest == sorted(rest, key=lambda batch: (len(batch) != len(own[0]), batch.start))
        assert set(first) == set(own)


def test_two_settings_draw_different_prompts() -> None:
    own, further = split(0, 32, 4), split(32, 128, 4)
    first, second = (
        set(shuffled(own, further, random.Random(seed), drawn=True)[:8]) for seed in (1, 2)
    )
    assert own[0] in first & second
    assert first != second
