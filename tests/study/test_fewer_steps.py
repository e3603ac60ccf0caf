"""What acceleration buys over fewer steps is interpolated between measured rows only."""

from dataclasses import replace

import pytest

from tuner.limits import Limits
from tuner.measure.statistics import Estimate
from tuner.setting import Setting
from tuner.study.fewer_steps import comparison, fewer_steps_sentence
from tuner.study.reference import ReferenceRow
from tuner.study.results import Result, Verification

STEPS = 20
LIMITS = Limits(score_loss=0.02)
SETTING = Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})


def estimate(value: float, half: float = 0.002) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def row(steps: int, loss: float, half: float = 0.002, **more: object) -> ReferenceRow:
    """A row whose speedup is in proportion to its steps."""
    speedup = STEPS / steps
    return ReferenceRow(
        steps=steps,
        prompts=32,
        speedup=estimate(speedup, 0.01),
        score_loss=estimate(loss, half),
        score=80.0,
        latency_s=1 / speedup,
        **more,  # type: ignore[arg-type]
    )


def result(speedup: float, loss: float, verified: float | None = None) -> Result:
    shared = {"prompts": 32, "speedup": estimate(speedup, 0.01), "score": 80.0}
    again = None
    if verified is not None:
        again = Verification(**shared, score_loss=estimate(verified), latency_s=1 / speedup)  # type: ignore[arg-type]
    return Result(
        **shared,  # type: ignore[arg-type]
        score_loss=estimate(loss),
        trial=7,
        setting=SETTING,
        latency_s=1 / speedup,
        same_pictures=False,
        verified=again,
    )


ROWS = [row(16, 0.001), row(10, 0.01), row(8, 0.03)]


def sentence(best: Result, rows: list[ReferenceRow] = ROWS) -> str:
    text = fewer_steps_sentence(best, rows, STEPS)
    assert text is not None and "\n" not in text
    return text


@pytest.mark.parametrize(
    ("steps", "loss"), [(8, 0.03), (9, 0.02), (10, 0.01), (13, 0.0055), (18, 0.0005), (20, 0.0)]
)
def test_a_whole_number_of_steps_between_two_rows_is_on_the_line(steps: int, loss: float) -> None:
    compared = comparison(result(STEPS / steps, 0.0), ROWS, STEPS)
    assert compared is not None
    assert compared.fewer_steps.value == pytest.approx(loss)


def test_nothing_is_said_beyond_the_fastest_row() -> None:
    assert comparison(result(2.6, 0.0), ROWS, STEPS) is None
    assert sentence(result(2.6, 0.0)) == (
        "the plain pipeline was measured with 8 steps (2.50×) and more, so that it cannot be "
        "compared with deepcache 3/0 at 2.60×"
    )


def test_rows_of_another_machine_are_not_compared() -> None:
    moved = [replace(each, current=False) for each in ROWS]
    assert fewer_steps_sentence(result(2.0, 0.0), moved, STEPS) is None
    assert fewer_steps_sentence(result(2.0, 0.0), [], STEPS) is None
    assert fewer_steps_sentence(None, ROWS, STEPS) is None


def test_the_sentence_says_what_acceleration_buys() -> None:
    assert sentence(result(2.2222222222, 0.005)) == (
        "at the same speed, 2.22×, deepcache 3/0 loses 0.50% (0.30 … 0.70%), and 8 to 10 steps "
        "without an accelerator lose 2.00% (1.80 … 2.20%); acceleration loses 1.50 percentage "
        "points less (1.22 … 1.78)"
    )


def test_the_sentence_says_that_fewer_steps_are_better_or_that_it_is_not_certain() -> None:
    assert sentence(result(2.0, 0.019)).endswith(
        "; fewer steps lose 0.90 percentage points less (0.62 … 1.18)"
    )
    assert sentence(result(2.0, 0.009)).endswith(
        "; acceleration loses 0.10 percentage points less (-0.18 … 0.38), but this is not certain: "
        "either may be better"
    )
    assert "; fewer steps lose 0.10 percentage points less (" in sentence(result(2.0, 0.011))


def test_the_loss_of_a_verified_setting_is_that_of_its_verification() -> None:
    text = sentence(result(2.0, 0.001, verified=0.008))
    assert "deepcache 3/0 loses 0.80% (0.60 … 1.00%) when verified, and 10 steps" in text


def test_the_sentence_says_that_the_speed_of_fewer_steps_is_predicted() -> None:
    predicted = [replace(each, speedup_from="model") for each in ROWS]
    assert "lose 1.00% (0.80 … 1.20%) at a predicted speedup; " in (
        sentence(result(2.0, 0.005), predicted)
    )
    assert "predicted" not in sentence(result(2.0, 0.005))
    assert "predicted" not in sentence(result(2.0, 0.005), [predicted[0], ROWS[1], predicted[2]])
