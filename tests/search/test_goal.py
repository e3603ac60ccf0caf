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
    setting = Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}})
    figures = {name: exactly(value) for name, value in fidelity.items()}
    return replace(make(trial, setting, speedup, loss), fidelity=figures)


def missed(goal: Goal, of: Result) -> dict[str, float]:
    return {miss.name: miss.share for miss in goal.misses(of)}


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
    assert miss.text == "0.625 s per image where 0.25 s is asked"
    assert miss.share == pytest.approx(1.5)


def test_limits_of_extra_metrics_are_missed_from_their_own_side() -> None:
    goal = Goal(limits=Limits(score_loss=0.02, others={"lpips": 0.2, "ssim": 0.8}))
    assert missed(goal, result(2.0, 0.01, lpips=0.1, ssim=0.9)) == {}
    misses = goal.misses(result(2.0, 0.01, lpips=0.25, ssim=0.4))
    assert [miss.share for miss in misses] == pytest.approx([0.5, 0.25])  # the worst one first
    assert [miss.text for miss in misses] == [
        "ssim 0.4 where over 0.8 is asked",
        "lpips 0.25 where under 0.2 is asked",
    ]


def test_the_verification_counts_where_it_is_worse() -> None:
    verification = Verification(
        speedup=exactly(2.1),
        score_loss=exactly(0.03),
        latency_s=0.4,
        score=30.0,
        prompts=4,
    )
    assert missed(TWICE, replace(result(1.6, 0.01), verified=verification)) == pytest.approx(
        {"score loss": 0.5, "speed": 0.25}
    )


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
