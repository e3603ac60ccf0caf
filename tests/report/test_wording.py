"""Figures as the report writes them."""

from math import inf

import pytest

from tuner.measure.statistics import Estimate
from tuner.report import wording


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (wording.percent(-0.0013), "−0.13%"),
        (wording.percent(-0.00001), "0.00%"),
        (wording.percent(0.005, 0), "0%"),
        (wording.times(2.8), "2.80×"),
        (wording.seconds(0.1284), "0.128 s"),
        (wording.seconds(12.34), "12.3 s"),
        (wording.duration(12.34), "12.3 s"),
        (wording.duration(252), "4 min 12 s"),
        (wording.count(1, "trial"), "1 trial"),
        (wording.count(1234, "picture"), "1,234 pictures"),
    ],
)
def test_figures_have_few_digits_and_a_minus_sign(text: str, expected: str) -> None:
    assert text == expected


def test_an_interval_is_empty_where_it_is_infinite() -> None:
    finite = Estimate(value=0.01, low=-0.004, high=0.02)
    assert wording.percent_interval(finite) == "−0.4 … 2.0%"
    assert wording.percent_interval(Estimate(value=0.01, low=-0.004, high=inf)) == ""
