"""What a result misses of a goal, which result is closest to it, and the blocking limits."""

from dataclasses import replace

import pytest

from tests.study.test_results import make
from tuner.limits import Limits
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study.results import Result, Verification

TWICE = Goal(limits=Limits(score_loss=0.02), speedup=2.0)


def exactly(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)


def result(speedup: float, loss: float, trial: int = 0, **fidelity: float) -> Result:
    setting = Setting.of({"tome": {"ratio": 0.1 + trial / 10, "max_downsample": 1}})
    figures = {name: exactly(value) for name, value in fidelity.items()}
    return replace(make(trial, setting, speedup, loss), fidelity=figures)


def missed(goal: Goal, of: Result) -> dict[str, float]:
    return {miss.name: miss.share for miss in goal.misses(of)}


def verification(speedup: float, loss: float) -> Verification:
    return Verification(
        speedup=exactly(speedup),
        score_loss=exactly(loss),
        latency_s=1 / speedup,
        score=30.0,
        prompts=4,
    )


def test_a_miss_is_relative_to_what_was_asked() -> None:
    assert missed(TWICE, result(2.0, 0.01)) == {}
    assert missed(TWICE, result(1.6, 0.03)) == pytest.approx({"score loss": 0.5, "speed": 0.25})
    in_time = Goal(limits=Limits(score_loss=0.02), latency_s=0.5)
    assert missed(in_time, result(1.6, 0.01)) == pytest.approx({"speed": 0.25})
    at_the_limit = missed(TWICE, result(2.0, 0.02))
    assert at_the_limit == {"score loss": 0.0}


def test_of_a_speedup_and_a_latency_only_the_one_missed_by_more_is_a_miss() -> None:
    both = Goal(limits=Limits(score_loss=0.02), speedup=2.0, latency_s=0.25)
    (miss,) = both.misses(result(1.6, 0.01))
    assert miss.text == "0.625 s per image instead of 0.25 s"
    assert miss.share == pytest.approx(1.5)


def test_limits_of_extra_metrics_are_missed_from_their_own_side() -> None:
    goal = Goal(limits=Limits(score_loss=0.02, others={"lpips": 0.2, "ssim": 0.8}))
    assert missed(goal, result(2.0, 0.01, lpips=0.1, ssim=0.9)) == {}
    misses = goal.misses(result(2.0, 0.01, lpips=0.25, ssim=0.4))
    assert [miss.share for miss in misses] == pytest.approx([0.5, 0.25])  # the worst one first
    assert [miss.text for miss in misses] == [
        "ssim 0.4 instead of over 0.8",
        "lpips 0.25 instead of under 0.2",
    ]


def test_the_verification_counts_where_it_is_worse() -> None:
    assert missed(
        TWICE, replace(result(1.6, 0.01), verified=verification(2.1, 0.03))
    ) == pytest.approx({"score loss": 0.5, "speed": 0.25})


def test_the_closest_result_has_the_smallest_worst_miss() -> None:
    slow, lossy, near = result(1.4, 0.001, 0), result(3.0, 0.04, 1), result(1.9, 0.021, 2)
    assert TWICE.closest([slow, lossy, near]) is near
    assert TWICE.closest([slow, lossy]) is slow
    same = result(1.9, 0.019, 3)
    assert TWICE.closest([near, same]) is same  # of equally slow ones, that with no other miss
    assert TWICE.closest([replace(near, setting=Setting())]) is None


def test_a_blocking_limit_is_the_only_miss_of_the_nearest_result() -> None:
    slow, slower = result(1.4, 0.001, 0), result(1.2, 0.001, 1)
    lossy, both = result(3.0, 0.04, 2), result(1.9, 0.021, 3)
    blocking = TWICE.blocking_limits([slower, slow, both, lossy])
    assert [(miss.name, nearest.trial) for miss, nearest in blocking] == [
        ("speed", 0),
        ("score loss", 2),
    ]
    assert TWICE.blocking_limits([both]) == []
    assert TWICE.blocking_limits([replace(slow, setting=Setting())]) == []


def test_without_a_result_that_meets_the_goal_the_answer_is_the_fastest_feasible_one() -> None:
    slow, fast, lossy = result(1.4, 0.001, 0), result(1.9, 0.01, 1), result(3.0, 0.04, 2)
    assert TWICE.answer([slow, fast, lossy]) is fast
    assert TWICE.reached([slow, fast, lossy]) is None


def test_the_answer_reaches_the_target_also_when_verified() -> None:
    fast, holds = result(2.5, 0.01, 0), result(2.1, 0.015, 1)
    fast = replace(fast, verified=verification(1.6, 0.01))
    holds = replace(holds, verified=verification(2.1, 0.015))
    assert TWICE.answer([fast, holds]) is holds


def test_the_answer_is_on_the_front_although_a_setting_that_is_as_fast_loses_less() -> None:
    goal = Goal(limits=Limits(score_loss=0.02))
    slow, holds, other = result(1.5, 0.004, 0), result(2.0, 0.015, 1), result(2.03, 0.01, 2)
    assert goal.front([slow, holds, other]) == [slow, other]
    holds = replace(holds, verified=verification(2.0, 0.015))
    assert goal.answer([slow, holds, other]) is holds
    assert goal.front([other, slow, holds]) == [slow, holds, other]
