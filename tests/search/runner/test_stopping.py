"""How much a trial is worth: more prompts where they decide something, and only there."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tuner.limits import Limits
from tuner.measure.statistics import Estimate
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


def effort(*rivals: Result) -> StoppingRule:
    return StoppingRule(limits=LIMITS, samples=32, rivals=rivals)


def settling(*rivals: Result) -> StoppingRule:
    return replace(effort(*rivals), resolves=True)


def test_every_setting_is_measured_on_as_many_prompts_as_asked() -> None:
    assert effort().answer(measured(28, loss(0.5, 0.01))) is Answer.GO_ON
    assert effort().answer(measured(32, loss(0.5, 0.01))) is Answer.ENOUGH


@pytest.mark.parametrize("value", [0.015, 0.025])
def test_a_verdict_that_is_open_takes_more_prompts_when_it_is_settled(value: float) -> None:
    assert settling().answer(measured(32, loss(value, 0.01))) is Answer.GO_ON
    assert settling().answer(measured(64, loss(value, 0.004))) is Answer.ENOUGH
    assert effort().answer(measured(32, loss(value, 0.01))) is Answer.ENOUGH  # in the search


def test_a_limit_beside_the_loss_may_be_the_open_one() -> None:
    found = measured(32, loss(0.01, 0.001), lpips=loss(0.19, 0.02))
    assert settling().answer(found) is Answer.GO_ON
    found = measured(32, loss(0.015, 0.01), lpips=loss(0.3, 0.02))  # it is missed for sure
    assert settling().answer(found) is Answer.ENOUGH


def test_a_setting_that_would_not_be_on_the_front_takes_no_more() -> None:
    open_ = measured(32, loss(0.015, 0.01), speedup=2.0)
    assert settling(rival(2.1, 0.01)).answer(open_) is Answer.ENOUGH
    assert settling(rival(1.9, 0.01)).answer(open_) is Answer.GO_ON  # it is faster
    assert settling(rival(2.1, 0.018)).answer(open_) is Answer.GO_ON  # it loses less
    assert settling(rival(2.1, 0.03)).answer(open_) is Answer.GO_ON  # that one is not feasible
    baseline = rival(2.1, 0.0, setting=Setting())
    assert settling(baseline).answer(open_) is Answer.GO_ON


def test_the_fastest_of_many_must_keep_its_limit_more_surely() -> None:
    found = measured(32, loss(0.012, 0.006))
    assert settling().answer(found) is Answer.ENOUGH
    assert replace(settling(), tried=40).answer(found) is Answer.GO_ON
    slower = replace(settling(rival(2.1, 0.018)), tried=40)
    assert slower.answer(found) is Answer.ENOUGH
    for unsure in (rival(2.1, 0.03), rival(2.1, 0.0195)):
        assert replace(settling(unsure), tried=40).answer(found) is Answer.GO_ON
    assert replace(settling(), tried=40).answer(measured(32, loss(0.0, 0.006))) is Answer.ENOUGH


def test_the_speedup_is_timed_well_only_where_it_matters() -> None:
    feasible, infeasible = loss(0.01, 0.001), loss(0.1, 0.01)
    assert effort().answer(measured(32, feasible, timed=False)) is Answer.GO_ON
    assert effort().answer(measured(32, feasible, timed=True)) is Answer.ENOUGH
    assert effort().answer(measured(32, infeasible, timed=False)) is Answer.ENOUGH
    better = effort(rival(2.1, 0.001))
    assert better.answer(measured(32, feasible, timed=False)) is Answer.ENOUGH


def test_what_is_no_faster_than_the_baseline_takes_no_more() -> None:
    open_ = measured(32, loss(0.015, 0.01), speedup=0.98)
    assert settling().answer(open_) is Answer.ENOUGH


def test_a_trial_that_races_stops_when_it_is_certain_to_miss_a_limit() -> None:
    racing = replace(effort(), stops_early=True)
    assert racing.answer(measured(8, loss(0.10, 0.04))) is Answer.HOPELESS
    assert racing.answer(measured(8, loss(0.10, 0.15))) is Answer.GO_ON  # it may yet be feasible
    assert racing.answer(measured(2, loss(0.10, 0.01))) is Answer.GO_ON  # too few to tell
    assert effort().answer(measured(8, loss(0.10, 0.04))) is Answer.GO_ON  # it does not race
    far = measured(8, loss(0.001, 0.0001), lpips=loss(0.5, 0.05))
    assert racing.answer(far) is Answer.HOPELESS


def test_the_more_limits_there_are_the_surer_one_of_them_must_be_missed() -> None:
    alone = StoppingRule(limits=Limits(score_loss=0.02), samples=32, stops_early=True)
    beside = replace(effort(), stops_early=True)
    found = measured(8, loss(0.06, 0.034))
    assert alone.answer(found) is Answer.HOPELESS
    assert beside.answer(found) is Answer.GO_ON


def test_a_trial_that_races_is_looked_at_once_in_each_eighth_of_its_prompts() -> None:
    racing = replace(effort(), stops_early=True)

    def looks(batch: int) -> list[int]:
        asked: list[int] = []
        for count in range(batch, 32, batch):
            if racing.answer(measured(count, loss(0.5, 0.01)), count - batch) is Answer.HOPELESS:
                asked.append(count)
        return asked

    assert looks(1) == looks(4) == [4, 8, 12, 16, 20, 24, 28]
    assert looks(5) == [5, 10, 15, 20, 25, 30]
    assert looks(16) == [16]


FAST = Setting.of({"tome": {"ratio": 0.9, "max_downsample": 1}})


@pytest.mark.parametrize(
    ("found", "other", "answer"),
    [
        (measured(12, loss(0.015, 0.004)), rival(2.1, 0.001), Answer.BEATEN),
        (measured(12, loss(0.015, 0.004), speedup=2.099), rival(2.1, 0.001), Answer.GO_ON),
        (measured(12, loss(0.015, 0.020)), rival(2.1, 0.001), Answer.GO_ON),  # it may lose less
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
def test_a_trial_that_races_stops_when_it_is_certain_to_be_behind_another(
    found: Any, other: Result, answer: Answer
) -> None:
    racing = replace(effort(other), stops_early=True, setting=FAST)
    assert racing.answer(found) is answer
    assert (racing.ahead(found) == other) == (answer is Answer.BEATEN)
    assert replace(racing, stops_early=False).answer(found) is Answer.GO_ON


def test_a_similarity_misses_its_limit_from_below() -> None:
    alike = StoppingRule(
        limits=Limits(score_loss=0.02, others={"ssim": 0.9}), samples=32, stops_early=True
    )
    found = measured(8, loss(0.001, 0.0001))
    found.fidelity = {"ssim": loss(0.5, 0.05)}
    assert alike.answer(found) is Answer.HOPELESS
    found.fidelity = {"ssim": loss(0.95, 0.05)}
    assert alike.answer(found) is Answer.GO_ON


def test_without_a_number_of_prompts_all_are_taken() -> None:
    whole = StoppingRule(limits=LIMITS)
    assert whole.answer(measured(99, loss(0.5, 0.01))) is Answer.GO_ON
    assert replace(whole, stops_early=True).answer(measured(99, loss(0.5, 0.01))) is Answer.GO_ON


def test_a_second_look_stops_as_soon_as_it_is_sure() -> None:
    taken: list[int] = []

    def looks() -> Iterator[Any]:
        for prompts, half in ((16, 0.001), (32, 0.01), (48, 0.006), (64, 0.003), (80, 0.002)):
            taken.append(prompts)
            yield measured(prompts, loss(0.015, half))

    last, answer = measure_until_stopped(looks(), settling())
    assert (last.prompts, answer) == (64, Answer.ENOUGH)
    assert taken == [16, 32, 48, 64]


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (loss(0.015, 0.004), "sure"),
        (loss(0.025, 0.004), "sure"),
        (loss(0.015, 0.010), "likely"),
        (loss(0.025, 0.011), "likely"),
        (loss(0.015, 0.013), "unsure"),
        (loss(0.015, float("inf")), "unsure"),
    ],
)
def test_a_verdict_is_sure_likely_or_unsure(found: Estimate, word: str) -> None:
    assert LIMITS.certainty(found, {"lpips": loss(0.1, 0.01)}) == word


def test_one_limit_missed_for_sure_decides_whatever_the_others_say() -> None:
    assert LIMITS.certainty(loss(0.02, 0.01), {"lpips": loss(0.3, 0.01)}) == "sure"
    assert LIMITS.certainty(loss(0.01, 0.001), {"lpips": loss(0.2, 0.01)}) == "unsure"
