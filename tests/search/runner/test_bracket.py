"""A few numbers of steps bracket the speedups of a front."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.search.runner.bracket import MOST, Bracket

SHARE = 0.9  # of the baseline's latency that is denoising


def speedup_of(number: float, steps: int, share: float = SHARE) -> float:
    return 1 / (1 - share + share * number / steps)


def measured(
    steps: int, slowest: float, fastest: float, true_share: float = SHARE, **more: object
) -> dict[int, float]:
    """The numbers that are measured one after the other, with their speedups."""
    rows: dict[int, float] = {}
    while True:
        bracket = Bracket(
            steps=steps,
            denoising_share=SHARE,
            slowest=slowest,
            fastest=fastest,
            measured=rows,
            **more,  # type: ignore[arg-type]
        )
        number = bracket.next_number()
        if number is None:
            return rows
        assert number not in rows
        rows[number] = speedup_of(number, steps, true_share)


@pytest.mark.parametrize(
    ("steps", "slowest", "fastest", "numbers"),
    [
        (20, 1.2, 2.8, [5, 6, 10, 17]),
        (50, 1.2, 2.0, [21, 23, 31, 42]),
        (50, 1.05, 4.5, [6, 8, 20, 32]),
        (20, 2.0, 2.0, [8, 10, 14]),
        (20, 1.02, 1.02, [19]),
        (2, 1.5, 1.5, [1]),
        (1, 1.5, 1.5, []),
    ],
)
def test_three_or_four_numbers_bracket_the_front(
    steps: int, slowest: float, fastest: float, numbers: list[int]
) -> None:
    assert sorted(measured(steps, slowest, fastest)) == numbers


@given(st.integers(1, 100), st.floats(1.01, 9.0), st.floats(1.01, 9.0), st.floats(0.8, 1.0))
def test_the_fastest_setting_is_enclosed_closely_although_latencies_are_estimated(
    steps: int, first: float, second: float, true_share: float
) -> None:
    slowest, fastest = sorted((first, second))
    rows = measured(steps, slowest, fastest, true_share)
    assert len(rows) <= MOST
    assert all(1 <= number < steps for number in rows)
    known = {steps: 1.0, **rows}
    as_fast = [number for number, speedup in known.items() if speedup >= fastest]
    as_slow = [number for number, speedup in known.items() if speedup <= fastest]
    if len(rows) < MOST and speedup_of(1, steps, true_share) >= fastest and steps > 1:
        assert min(as_slow) - max(as_fast) <= max(2, 0.15 * steps)


def test_a_number_that_failed_gives_way_to_a_lower_one() -> None:
    assert sorted(measured(20, 1.2, 2.8, failed={17, 5})) == [4, 6, 10, 16]


def test_nothing_more_is_measured_where_a_front_has_hardly_moved() -> None:
    rows = measured(50, 1.2, 2.0)
    again = Bracket(steps=50, denoising_share=SHARE, slowest=1.15, fastest=2.02, measured=rows)
    assert again.next_number() is None
