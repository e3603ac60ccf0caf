"""The result of a study: its best setting; or the blocking limits and the closest setting."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.helpers.simulated import Bench, batched_bench, measurement
from tuner.cli.answer import answer
from tuner.limits import Limits
from tuner.measure.measurement import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study.identity import request

KNOBS = {"deepcache": {"cache_interval": (2, 3, 5), "cache_branch_id": (0,)}}


def searched(folder: Path) -> Bench:
    """DeepCache with speedups of 1.2×, 1.3× and 1.5× for losses of 0.4%, 0.6% and 1%."""
    bench = Bench(folder, search_targets=("deepcache",), knobs=KNOBS, trials=4, sampler="frontier")
    bench.study.set_user_attr("request", request(bench.spec))
    bench.search()
    return bench


def test_the_answer_is_the_fastest_setting_that_meets_the_goal(tmp_path: Path) -> None:
    study = searched(tmp_path).study
    assert answer(study, Goal.of_request(study.user_attrs["request"])) == [
        "fastest setting with score loss under 2%: deepcache 5/0, 1.50× (0.667 s per image), "
        "loss 1.00%, ssim 0.95, lpips 0.1"
    ]


def test_the_answer_says_if_nothing_within_the_limits_is_faster(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=KNOBS, trials=4)
    speedup = Estimate(value=0.9, low=0.8, high=1.0)

    def slower(setting: Setting, trial: int) -> Iterator[Measurement]:
        yield replace(measurement(setting), speedup=speedup)

    bench.measure = slower  # type: ignore[method-assign]
    bench.search()
    first, second = answer(bench.study, Goal(limits=Limits(score_loss=0.02)))
    assert first == "no setting with score loss under 2% is faster than the baseline"
    assert second.startswith("fastest setting with score loss under 2%: deepcache")


def test_an_unmet_goal_names_the_blocking_limits_and_the_closest_setting(tmp_path: Path) -> None:
    study = searched(tmp_path).study
    goal = Goal(limits=Limits(score_loss=0.008), speedup=1.4)
    assert answer(study, goal) == [
        "no setting met the goal (speedup ≥ 1.4 and score loss under 0.8%); "
        "blocking limit: speed; deepcache 3/0 misses only this (speedup 1.30× instead of 1.4×); "
        "blocking limit: score loss; deepcache 5/0 misses only this "
        "(score loss 1.00% instead of under 0.8%)",
        "closest setting: deepcache 3/0, 1.30× (0.769 s per image), "
        "loss 0.60%, ssim 0.97, lpips 0.06",
    ]
    with_ssim = Goal(limits=Limits(score_loss=0.02, others={"ssim": 0.99}))
    assert answer(study, with_ssim)[0] == (
        "no setting met the goal (score loss under 2% and ssim over 0.99); blocking limit: ssim; "
        "deepcache 2/0 misses only this (ssim 0.98 instead of over 0.99)"
    )


def test_limits_that_are_always_missed_together_are_named_together(tmp_path: Path) -> None:
    first, second = answer(
        searched(tmp_path).study, Goal(limits=Limits(score_loss=0.002), speedup=1.6)
    )
    assert first.endswith(
        "blocking limits: score loss and speed; every setting misses at least two"
    )
    assert second.startswith("closest setting: deepcache 2/0, 1.20×")
    assert second.endswith(
        "; score loss 0.40% instead of under 0.2%, speedup 1.20× instead of 1.6×"
    )


def test_where_every_trial_was_stopped_the_closest_setting_is_one_of_them(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (5,), "cache_branch_id": (2, 3)}}
    bench = batched_bench(tmp_path, trials=2, req_score_loss=0.001, knobs=knobs)
    bench.search(samples=32, stops_early=True)
    goal = Goal.of(bench.spec)
    assert answer(bench.study, goal)[1].startswith("closest setting: deepcache 5/2, 1.70×")
    assert answer(bench.study, goal)[1].endswith(", stopped after 8 prompts")
    loosened = Goal(limits=Limits(score_loss=0.5))  # the next run measures their trials to the end
    assert answer(bench.study, loosened)[0].startswith("no setting was measured")
