"""Numbers as text: the same form in every table, sentence and message."""

from math import inf

import pytest

from tuner import formatting
from tuner.measure.statistics import Estimate

LOSS = Estimate(value=0.005, low=-0.002, high=0.012)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.percent(-0.0013), "-0.13%"),
        (formatting.percent(0.0013, width=7), "  0.13%"),
        (formatting.percent(-0.00001), "0.00%"),
        (formatting.percent(-0.004, 0), "0%"),
        (formatting.short_percent(0.02), "2%"),
        (formatting.short_percent(0.0125), "1.25%"),
        (formatting.short_percent(-1e-18), "0%"),
        (formatting.plain(0.08134), "0.0813"),
        (formatting.times(2.8), "2.80×"),
        (formatting.times(2.8, 5), " 2.80×"),
        (formatting.seconds(0.1284), "0.128 s"),
        (formatting.seconds(12.34), "12.3 s"),
        (formatting.with_unit(1.067, "GiB"), "1.07 GiB"),
        (formatting.duration(12.34), "12.3 s"),
        (formatting.duration(252), "4 min 12 s"),
        (formatting.count(1, "trial"), "1 trial"),
        (formatting.count(1234, "picture"), "1,234 pictures"),
        (formatting.count(2, "study", "studies"), "2 studies"),
    ],
)
def test_a_figure_has_few_digits_and_no_minus_where_it_rounds_to_zero(
    text: str, expected: str
) -> None:
    assert text == expected


def test_an_interval_follows_its_figure_in_parentheses() -> None:
    assert formatting.percent_with_interval(LOSS) == "0.50% (-0.20 … 1.20%)"
    speedup = Estimate(value=2.8, low=2.71, high=2.88)
    assert formatting.times_with_interval(speedup) == "2.80× (2.71 … 2.88)"
    distance = Estimate(value=0.0813, low=0.07021, high=0.0924)
    assert formatting.plain_with_interval(distance) == "0.0813 (0.0702 … 0.0924)"


def test_an_end_that_is_not_known_is_a_question_mark_and_two_are_left_out() -> None:
    half = Estimate(value=2.0, low=1.9, high=inf)
    assert formatting.times_with_interval(half) == "2.00× (1.90 … ?)"
    neither = Estimate(value=2.0, low=-inf, high=inf)
    assert formatting.times_with_interval(neither) == "2.00×"
    assert formatting.percent_interval(neither) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 min 0 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86399, "23 h 59 min"),
        (90000, "1 day 1 h"),
        (1_000_000_000, "11,574 days 1 h"),
    ],
)
def test_a_span_is_written_in_its_two_greatest_units(seconds: float, text: str) -> None:
    assert formatting.span(seconds) == text
