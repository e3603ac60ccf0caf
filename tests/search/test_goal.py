"""What a result lacks of a goal, which result is closest to it, and what stands in the way."""

from dataclasses import replace

import pytest

from tests.study.test_record import make
from tuner.limits import Limits
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study.results import Result, Verification

TWICE = Goal(limits=Limits(score_loss=0.02), speedup=2.0)


def exactly(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)


def found(speedup: float, loss: float, trial: int = 0, **fidelity: float) -> Result:
    setting = Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}})
    beside = {name: exactly(value) for name, value in fidelity.items()}
    return replace(make(trial, setting, speedup, loss), fidelity=beside)


def missed(goal: Goal, result: Result) -> dict[str, float]:
    return {miss.name: miss.share for miss in goal.misses(result)}


def test_a_miss_is_a_share_of_what_was_asked() -> None:
    assert missed(TWICE, found(2.0, 0.01)) == {}
    assert missed(TWICE, found(1.6, 0.03)) == pytest.approx({"score loss": 0.5, "speed": 0.25})
    in_time = Goal(limits=Limits(score_loss=0.02), latency_s=0.5)
    assert missed(in_time, found(1.6, 0.01)) == pytest.approx({"speed": 0.25})
    at_the_limit = missed(TWICE, found(2.0, 0.02))
    assert at_the_limit == {"score loss": 0.0}


def test_a_speedup_and_a_latency_are_missed_as_one_by_the_harder() -> None:
    both = Goal(limits=Limits(score_loss=0.02), speedup=2.0, latency_s=0.25)
    (miss,) = both.misses(found(1.6, 0.01))
    assert miss.text == "0.625 s per image where 0.25 s is asked"
    assert miss.share == pytest.approx(1.5)


def test_limits_beside_the_score_are_missed_from_their_own_side() -> None:
    goal = Goal(limits=Limits(score_loss=0.02, others={"lpips": 0.2, "ssim": 0.8}))
    assert missed(goal, found(2.0, 0.01, lpips=0.1, ssim=0.9)) == {}
    misses = goal.misses(found(2.0, 0.01, lpips=0.25, ssim=0.4))
    assert [miss.share for miss in misses] == pytest.approx([0.5, 0.25])  # the worst one first
    assert [miss.text for miss in misses] == [
        "ssim 0.4 where over 0.8 is asked",
        "lpips 0.25 where under 0.2 is asked",
    ]


def test_the_second_measurement_counts_where_it_is_worse() -> None:
    again = Verification(
        speedup=exactly(2.1),
        score_loss=exactly(0.03),
        latency_s=0.4,
        score=30.0,
        prompts=4,
    )
    assert missed(TWICE, replace(found(1.6, 0.01), verified=again)) == pytest.approx(
        {"score loss": 0.5, "speed": 0.25}
    )


def test_the_closest_is_off_by_little_everywhere() -> None:
    slow, lossy, near = found(1.4, 0.001, 0), found(3.0, 0.04, 1), found(1.9, 0.021, 2)
    assert TWICE.closest([slow, lossy, near]) is near
    assert TWICE.closest([slow, lossy]) is slow
    same = found(1.9, 0.019, 3)
    assert TWICE.closest([near, same]) is same  # of what is as slow, the one that misses only that
    assert TWICE.closest([replace(near, setting=Setting())]) is None


def test_an_obstacle_is_all_that_the_nearest_one_misses() -> None:
    slow, slower = found(1.4, 0.001, 0), found(1.2, 0.001, 1)
    lossy, both = found(3.0, 0.04, 2), found(1.9, 0.021, 3)
    obstacles = TWICE.obstacles([slower, slow, both, lossy])
    assert [(miss.name, one.trial) for miss, one in obstacles] == [("speed", 0), ("score loss", 2)]
    assert TWICE.obstacles([both]) == []
    assert TWICE.obstacles([replace(slow, setting=Setting())]) == []
