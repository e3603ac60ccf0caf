"""How certain a verdict about the limits is, in words."""

import pytest

from tuner.limits import Limits
from tuner.measure.statistics import Estimate

LIMITS = Limits(score_loss=0.02, others={"lpips": 0.2})


def loss(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


@pytest.mark.parametrize(
    ("score_loss", "word"),
    [
        (loss(0.015, 0.004), "sure"),
        (loss(0.025, 0.004), "sure"),
        (loss(0.015, 0.010), "likely"),
        (loss(0.025, 0.011), "likely"),
        (loss(0.015, 0.013), "unsure"),
        (loss(0.015, float("inf")), "unsure"),
    ],
)
def test_a_verdict_is_sure_likely_or_unsure(score_loss: Estimate, word: str) -> None:
    assert LIMITS.certainty(score_loss, {"lpips": loss(0.1, 0.01)}) == word


def test_one_limit_missed_for_certain_makes_the_verdict_sure() -> None:
    assert LIMITS.certainty(loss(0.02, 0.01), {"lpips": loss(0.3, 0.01)}) == "sure"
    assert LIMITS.certainty(loss(0.01, 0.001), {"lpips": loss(0.2, 0.01)}) == "unsure"
