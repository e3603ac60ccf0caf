"""What one setting more would be worth."""

from collections.abc import Callable

import numpy as np
import pytest

from tuner.search.gains import area_gains, staircase

LIMIT = 0.02


def test_a_staircase_leaves_out_what_loses_no_less_than_a_faster_point() -> None:
    points = [(1.5, 0.01), (2.0, 0.01), (3.0, 0.015), (3.0, 0.02), (1.2, 0.0), (1.1, 0.005)]
    assert staircase(points) == [(3.0, 0.015), (2.0, 0.01), (1.2, 0.0)]


def test_the_area_that_a_point_adds_to_a_front_is_that_of_its_corner() -> None:
    front = [(2.0, 0.01), (3.0, 0.015)]
    gain: Callable[[float, float], float] = lambda speedup, loss: float(  # noqa: E731
        area_gains(np.array([speedup]), np.array([[loss]]), front, LIMIT)[0, 0]
    )
    assert gain(2.0, 0.01) == 0
    assert gain(1.5, 0.012) == 0
    assert gain(1.5, 0.0) == pytest.approx(0.5 * 0.01)
    assert gain(4.0, 0.015) == pytest.approx(1.0 * 0.005)
    assert gain(2.5, 0.005) == pytest.approx(1.0 * 0.005 + 0.5 * 0.010)
    assert gain(5.0, 0.03) == 0  # over the limit
