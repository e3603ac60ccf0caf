"""When a trial ends: early, with the prompts of every setting, or with more of them."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.limits import Limits
from tuner.measure.statistics import Estimate, score_loss
from tuner.search.goal import Goal
from tuner.search.runner.stopping import Answer, StoppingRule, measure_until_stopped
from tuner.setting import Setting
from tuner.study.results import Result

DEEPCACHE = {"cache_interval": 3, "cache_branch_id": 0}
LIMITS = Limits(score_loss=0.02, others={"lpips": 0.2})


def loss(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def measured(
    prompts: int,
    score_loss: Estimate,
    speedup: float = 2.0,
    lpips: Estimate | None = None,
    timed: bool = True,
) -> Any:
    return SimpleNamespace(
        prompts=prompts,
        speedup=loss(speedup, 0.01),
        score_loss=score_loss,
        fidelity={"lpips": lpips or loss(0.1, 0.01)},
        timed=timed,
        baseline_s=1.0,
    )


def rival(speedup: float, score_loss: float, **changes: Any) -> Result:
    result = Result(
        trial=0,
        setting=Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}}),
        speedup=loss(speedup, 0.01),
        score_loss=loss(score_loss, 0.001),
        latency_s=1.0,
        score=30.0,
        prompts=32,
        same_pictures=False,
        fidelity={"lpips": loss(0.1, 0.01)},
    )
    return replace(result, **changes)


def search_rule(*rivals: Result) -> StoppingRule:
    return StoppingRule(limits=LIMITS, samples=32, rivals=rivals)


def resolving_rule(*rivals: Result) -> StoppingRule:
    return replace(search_rule(*rivals), resolves=True)


def test_every_setting_is_measured_on_as_many_prompts_as_asked() -> None:
    assert search_rule().answer(measured(28, loss(0.5, 0.01))) is Answer.GO_ON
    assert search_rule().answer(measured(32, loss(0.5, 0.01))) is Answer.ENOUGH


@pytest.mark.parametrize("value", [0.015, 0.025])
def test_an_inconclusive_setting_takes_more_prompts_only_while_it_is_resolved(value: float) -> None:
    assert resolving_rule().answer(measured(32, loss(value, 0.01))) is Answer.GO_ON
    assert resolving_rule().answer(measured(64, loss(value, 0.004))) is Answer.ENOUGH
    assert search_rule().answer(measured(32, loss(value, 0.01))) is Answer.ENOUGH  # in the search


def test_one_that_misses_the_target_takes_no_more_prompts_however_inconclusive_its_loss() -> None:
    goal = Goal(limits=LIMITS, speedup=2.1)
    rule = replace(resolving_rule(), is_too_slow=goal.is_too_slow)
    slow, fast = (measured(32, loss(0.015, 0.01), speedup=speedup) for speedup in (2.0, 2.2))
    assert (rule.settled(slow), rule.settled(fast)) == (True, False)
    assert rule.answer(slow) is Answer.ENOUGH
    not_timed = measured(32, loss(0.015, 0.01), speedup=2.0, timed=False)
    assert rule.answer(not_timed) is Answer.GO_ON
    assert rule.answer(fast) is Answer.GO_ON
    in_seconds = Goal(limits=LIMITS, latency_s=slow.baseline_s / 2.1)
    assert in_seconds.is_too_slow(slow)
    assert not in_seconds.is_too_slow(fast)
    assert not Goal(limits=LIMITS).is_too_slow(slow)


def test_the_limit_of_an_extra_metric_may_be_the_inconclusive_one() -> None:
    figures = measured(32, loss(0.01, 0.001), lpips=loss(0.19, 0.02))
    assert resolving_rule().answer(figures) is Answer.GO_ON
    figures = measured(
        32, loss(0.015, 0.01), lpips=loss(0.3, 0.02)
    )  # this limit is missed for certain
    assert resolving_rule().answer(figures) is Answer.ENOUGH


def test_a_setting_that_would_not_be_on_the_front_takes_no_more_prompts() -> None:
    inconclusive = measured(32, loss(0.015, 0.01), speedup=2.0)
    assert resolving_rule(rival(2.1, 0.01)).answer(inconclusive) is Answer.ENOUGH
    assert resolving_rule(rival(1.9, 0.01)).answer(inconclusive) is Answer.GO_ON  # it is faster
    assert resolving_rule(rival(2.1, 0.018)).answer(inconclusive) is Answer.GO_ON  # it loses less
    assert (
        resolving_rule(rival(2.1, 0.03)).answer(inconclusive) is Answer.GO_ON
    )  # that one is not feasible
    baseline = rival(2.1, 0.0, setting=Setting())
    assert resolving_rule(baseline).answer(inconclusive) is Answer.GO_ON


def test_the_fastest_of_many_settings_must_meet_its_limit_with_more_certainty() -> None:
    figures = measured(32, loss(0.012, 0.006))
    assert resolving_rule().answer(figures) is Answer.ENOUGH
    assert replace(resolving_rule(), trials_so_far=40).answer(figures) is Answer.GO_ON
    slower = replace(resolving_rule(rival(2.1, 0.018)), trials_so_far=40)
    assert slower.answer(figures) is Answer.ENOUGH
    for unsure in (rival(2.1, 0.03), rival(2.1, 0.0195)):
        assert replace(resolving_rule(unsure), trials_so_far=40).answer(figures) is Answer.GO_ON
    assert (
        replace(resolving_rule(), trials_so_far=40).answer(measured(32, loss(0.0, 0.006)))
        is Answer.ENOUGH
    )


def test_the_speedup_is_timed_well_only_where_it_matters() -> None:
    feasible, infeasible = loss(0.01, 0.001), loss(0.1, 0.01)
    assert search_rule().answer(measured(32, feasible, timed=False)) is Answer.GO_ON
    assert search_rule().answer(measured(32, feasible, timed=True)) is Answer.ENOUGH
    assert search_rule().answer(measured(32, infeasible, timed=False)) is Answer.ENOUGH
    better = search_rule(rival(2.1, 0.001))
    assert better.answer(measured(32, feasible, timed=False)) is Answer.ENOUGH


def test_a_setting_that_is_no_faster_than_the_baseline_takes_no_more_prompts() -> None:
    inconclusive = measured(32, loss(0.015, 0.01), speedup=0.98)
    assert resolving_rule().answer(inconclusive) is Answer.ENOUGH


def test_with_early_stopping_a_trial_stops_when_it_is_certain_to_miss_a_limit() -> None:
    rule = replace(search_rule(), stops_early=True)
    assert rule.answer(measured(8, loss(0.10, 0.04))) is Answer.HOPELESS
    assert rule.answer(measured(8, loss(0.10, 0.15))) is Answer.GO_ON  # it may yet be feasible
    assert rule.answer(measured(2, loss(0.10, 0.01))) is Answer.GO_ON  # too few to tell
    assert (
        search_rule().answer(measured(8, loss(0.10, 0.04))) is Answer.GO_ON
    )  # without early stopping
    far = measured(8, loss(0.001, 0.0001), lpips=loss(0.5, 0.05))
    assert rule.answer(far) is Answer.HOPELESS


def test_with_more_limits_missing_one_of_them_needs_more_certainty() -> None:
    alone = StoppingRule(limits=Limits(score_loss=0.02), samples=32, stops_early=True)
    with_others = replace(search_rule(), stops_early=True)
    figures = measured(8, loss(0.06, 0.034))
    assert alone.answer(figures) is Answer.HOPELESS
    assert with_others.answer(figures) is Answer.GO_ON


def test_early_stopping_looks_at_a_trial_once_in_each_eighth_of_its_prompts() -> None:
    rule = replace(search_rule(), stops_early=True)

    def looks(batch: int) -> list[int]:
        counts: list[int] = []
        for count in range(batch, 32, batch):
            if rule.answer(measured(count, loss(0.5, 0.01)), count - batch) is Answer.HOPELESS:
                counts.append(count)
        return counts

    assert looks(1) == looks(4) == [4, 8, 12, 16, 20, 24, 28]
    assert looks(5) == [5, 10, 15, 20, 25, 30]
    assert looks(16) == [16]


FAST = Setting.of({"tome": {"ratio": 0.9, "max_downsample": 1}})


@pytest.mark.parametrize(
    ("figures", "other", "answer"),
    [
        (measured(12, loss(0.015, 0.004)), rival(2.1, 0.001), Answer.BEATEN),
        (measured(12, loss(0.015, 0.004), speedup=2.099), rival(2.1, 0.001), Answer.GO_ON),
        (measured(12, loss(0.015, 0.020)), rival(2.1, 0.001), Answer.GO_ON),  # it may lose less
        (  # the rival may be no faster
            measured(12, loss(0.015, 0.004)),
            replace(rival(2.1, 0.001), speedup=Estimate(value=2.1, low=1.95, high=2.26)),
            Answer.GO_ON,
        ),
        (measured(2, loss(0.015, 0.004)), rival(2.1, 0.001), Answer.GO_ON),  # too few to tell
        (measured(12, loss(0.015, 0.004)), rival(2.1, 0.0195), Answer.GO_ON),
        (
            measured(12, loss(0.015, 0.004)),
            replace(rival(2.1, 0.001), score_loss=loss(0.001, 0.02)),  # it is not surely feasible
            Answer.GO_ON,
        ),
        (
            measured(12, loss(0.015, 0.004)),
            rival(2.1, 0.001, fidelity={"lpips": loss(0.3, 0.01)}),
            Answer.GO_ON,
        ),
        (
            measured(12, loss(0.015, 0.004)),
            rival(2.1, 0.001, setting=Setting.of({"deepcache": DEEPCACHE})),
            Answer.GO_ON,  # it would be the first of its combination
        ),
    ],
)
def test_with_early_stopping_a_trial_stops_when_it_is_certain_to_be_behind_a_rival(
    figures: Any, other: Result, answer: Answer
) -> None:
    rule = replace(search_rule(other), stops_early=True, setting=FAST)
    assert rule.answer(figures) is answer
    assert (rule.ahead(figures) == other) == (answer is Answer.BEATEN)
    assert replace(rule, stops_early=False).answer(figures) is Answer.GO_ON


def test_a_similarity_misses_its_limit_from_below() -> None:
    rule = StoppingRule(
        limits=Limits(score_loss=0.02, others={"ssim": 0.9}), samples=32, stops_early=True
    )
    figures = measured(8, loss(0.001, 0.0001))
    figures.fidelity = {"ssim": loss(0.5, 0.05)}
    assert rule.answer(figures) is Answer.HOPELESS
    figures.fidelity = {"ssim": loss(0.95, 0.05)}
    assert rule.answer(figures) is Answer.GO_ON


def test_without_a_number_of_prompts_all_prompts_are_measured() -> None:
    rule = StoppingRule(limits=LIMITS)
    assert rule.answer(measured(99, loss(0.5, 0.01))) is Answer.GO_ON
    assert replace(rule, stops_early=True).answer(measured(99, loss(0.5, 0.01))) is Answer.GO_ON


def test_a_verification_ends_as_soon_as_its_verdict_is_certain() -> None:
    taken: list[int] = []

    def batches() -> Iterator[Any]:
        for prompts, half in ((16, 0.001), (32, 0.01), (48, 0.006), (64, 0.003), (80, 0.002)):
            taken.append(prompts)
            yield measured(prompts, loss(0.015, half))

    last, answer = measure_until_stopped(batches(), resolving_rule())
    assert (last.prompts, answer) == (64, Answer.ENOUGH)
    assert taken == [16, 32, 48, 64]


@pytest.mark.parametrize(
    ("value", "prompts", "answer"),
    [
        (0.015, 64, Answer.GO_ON),  # the other half may take it over the limit
        (0.012, 96, Answer.ENOUGH),  # few are left
        (0.028, 96, Answer.ENOUGH),
        (0.018, 96, Answer.GO_ON),
        (0.012, 116, Answer.GO_ON),  # it was looked at before: once in each eighth
    ],
)
def test_it_ends_before_that_where_the_other_prompts_are_certain_not_to_change_the_verdict(
    value: float, prompts: int, answer: Answer
) -> None:
    rule = replace(resolving_rule(), most=128)
    before = prompts - (4 if prompts > 112 else 8)
    assert rule.answer(measured(prompts, loss(value, 0.011)), before) is answer
    assert resolving_rule().answer(measured(prompts, loss(value, 0.011)), before) is Answer.GO_ON


def test_a_verdict_that_is_decided_stays_so_while_the_setting_is_timed() -> None:
    rule = replace(resolving_rule(), most=128)
    assert rule.answer(measured(96, loss(0.012, 0.011), timed=False), 92) is Answer.GO_ON
    assert rule.answer(measured(96, loss(0.012, 0.011)), 96) is Answer.ENOUGH


def test_a_setting_that_misses_its_limit_when_resolved_needs_no_further_pairs() -> None:
    missing = measured(128, loss(0.0201, 0.011), timed=False)
    rule = replace(resolving_rule(), most=128)
    assert rule.answer(missing, 120) is Answer.ENOUGH
    assert search_rule().answer(missing, 120) is Answer.GO_ON  # it is not known to miss it


@pytest.mark.parametrize("is_skewed", [False, True])
def test_under_3_percent_of_the_verdicts_are_others_than_without_this_end(is_skewed: bool) -> None:
    rng, rule = np.random.default_rng(11), replace(resolving_rule(), most=128)
    changed = []
    for _ in range(400):
        before = rng.normal(20, 2, 128)
        lost = rng.normal(0, 1.2, 128)
        if is_skewed:  # a few prompts lose much
            lost = np.where(rng.random(128) < 0.15, rng.exponential(2.5, 128), 0.0) - 0.375
        after = before * (1 - 0.02) - lost

        batches = [
            measured(count, score_loss(list(before[:count]), list(after[:count])))
            for count in range(16, 129, 16)
        ]
        ends = [measure_until_stopped(iter(batches), each)[0] for each in (rule, resolving_rule())]
        changed.append(len({end.score_loss.value < 0.02 for end in ends}) > 1)
    assert np.mean(changed) < 0.03
