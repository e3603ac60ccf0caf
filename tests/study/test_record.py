"""The Pareto front, and the best of what was found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_setting import settings
from tuner.limits import Limits
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study.results import Result, Verification, fastest_feasible, pareto_front

LIMITS = st.builds(Limits, score_loss=st.sampled_from([0.005, 0.01, 0.02, 0.05]))


def make(trial: int, setting: Setting, speedup: float, loss: float) -> Result:
    return Result(
        trial=trial,
        setting=setting,
        speedup=Estimate(value=speedup, low=speedup, high=speedup),
        score_loss=Estimate(value=loss, low=loss, high=loss),
        latency_s=1 / speedup,
        score=30 * (1 - loss),
        prompts=4,
        same_pictures=False,
    )


@st.composite
def found(draw: st.DrawFn) -> list[Result]:
    """Results with many ties; a setting that was found twice has the same figures."""
    figures: dict[Setting, tuple[float, float]] = {}
    results = []
    for trial, setting in enumerate(draw(st.lists(settings(), max_size=12))):
        drawn = draw(
            st.tuples(
                st.sampled_from([0.9, 1.0, 1.5, 2.0, 3.0]),
                st.sampled_from([-0.01, 0.0, 0.01, 0.02, 0.05]),
            )
        )
        results.append(make(trial, setting, *figures.setdefault(setting, drawn)))
    return results


def as_good(one: Result, other: Result) -> bool:
    """At least as fast as the other, and loses no more."""
    return (
        one.speedup.value >= other.speedup.value and one.score_loss.value <= other.score_loss.value
    )


def dominates(one: Result, other: Result) -> bool:
    return as_good(one, other) and not as_good(other, one)


@given(found(), LIMITS)
def test_no_member_of_the_front_is_dominated(results: list[Result], limits: Limits) -> None:
    for member in pareto_front(results, limits):
        assert not any(dominates(other, member) for other in results)


@given(found(), LIMITS)
def test_every_other_result_is_dominated_or_a_repeat(results: list[Result], limits: Limits) -> None:
    front = pareto_front(results, limits)
    members = {result.trial for result in front}
    for one in results:
        if one.trial not in members:
            assert any(as_good(member, one) for member in front)


@given(found(), LIMITS)
def test_the_front_is_sorted_and_repeats_nothing(results: list[Result], limits: Limits) -> None:
    front = pareto_front(results, limits)
    figures = [(result.speedup.value, result.score_loss.value) for result in front]
    assert figures == sorted(set(figures))
    assert len({result.setting for result in front}) == len(front)


@given(found(), LIMITS, st.randoms())
def test_the_order_of_results_does_not_change_the_front(
    results: list[Result], limits: Limits, rng: object
) -> None:
    mixed = list(results)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert pareto_front(mixed, limits) == pareto_front(results, limits)


@given(found(), LIMITS)
def test_the_best_is_the_fastest_feasible_one_that_accelerates(
    results: list[Result], limits: Limits
) -> None:
    limit = limits.score_loss
    may = [
        result
        for result in results
        if result.score_loss.value < limit and result.setting.accelerators
    ]
    best = fastest_feasible(results, limits)
    assert (best is None) == (not may)
    if best is not None:
        assert best in may
        assert best.speedup.value == max(result.speedup.value for result in may)


@given(found(), LIMITS, st.sampled_from([None, 1.0, 2.0]), st.sampled_from([None, 0.5, 0.9]))
def test_a_goal_is_reached_when_every_part_of_it_holds(
    results: list[Result], limits: Limits, speedup: float | None, latency: float | None
) -> None:
    goal = Goal(limits=limits, speedup=speedup, latency_s=latency)
    meets = [
        result
        for result in results
        if result.setting.accelerators
        and result.score_loss.value < limits.score_loss
        and result.speedup.value >= (speedup or 0)
        and result.latency_s <= (latency or float("inf"))
    ]
    assert (goal.reached(results) is not None) == bool(meets)


FIGURES = st.one_of(st.sampled_from([0.0, 0.2, 0.9]), st.floats(-1, 1))
OTHERS = st.fixed_dictionaries({}, optional=dict.fromkeys(("lpips", "ssim"), FIGURES))


@given(FIGURES, FIGURES, FIGURES, LIMITS, OTHERS)
def test_constraints_hold_exactly_where_a_result_is_feasible(
    loss: float, lpips: float, ssim: float, limits: Limits, others: dict[str, float]
) -> None:
    limits = replace(limits, others=others)
    kept = {"lpips": lpips, "ssim": ssim}
    result = with_figures(make(0, Setting(), 1.0, loss), **kept)
    values = limits.constraints(loss, kept)
    assert len(values) == 1 + len(others)
    assert all(value <= 0 for value in values) == result.feasible(limits)
    assert result.feasible(limits) == (
        loss < limits.score_loss
        and lpips < others.get("lpips", 2)  # a distance stays under its limit
        and ssim > others.get("ssim", -2)  # a similarity stays over it
    )


def with_figures(result: Result, **figures: float) -> Result:
    fidelity = {
        name: Estimate(value=value, low=value, high=value) for name, value in figures.items()
    }
    return replace(result, fidelity=fidelity)


def test_what_misses_another_limit_keeps_no_feasible_result_off_the_front() -> None:
    limits = Limits(score_loss=0.05, others={"lpips": 0.2})
    one, two, three = (
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
        for interval in (2, 3, 4)
    )
    results = [
        with_figures(make(0, one, 1.5, 0.02), lpips=0.1),  # slower, but within both limits
        with_figures(make(1, two, 2.0, 0.01), lpips=0.3),
        with_figures(make(2, three, 1.8, 0.03), lpips=0.3),  # slower, and as bad
    ]
    assert [result.trial for result in pareto_front(results, limits)] == [0, 1]
    best = fastest_feasible(results, limits)
    assert best is not None
    assert best.trial == 0
    assert results[1].missed(limits) == ["lpips"]


@pytest.mark.parametrize(
    ("loss", "ssim", "sure"),
    [
        ((0.00, 0.01), (0.92, 0.95), True),  # both are kept
        ((0.00, 0.03), (0.92, 0.95), False),
        ((0.00, 0.01), (0.85, 0.95), False),
        ((0.00, 0.03), (0.80, 0.85), True),  # one is missed, whatever the other is
        ((0.02, 0.03), (0.85, 0.95), True),
    ],
)
def test_a_verdict_is_sure_where_the_whole_intervals_agree(
    loss: tuple[float, float], ssim: tuple[float, float], sure: bool
) -> None:
    limits = Limits(score_loss=0.02, others={"ssim": 0.9})
    one, other = (Estimate(value=low, low=low, high=high) for low, high in (loss, ssim))
    assert limits.sure(one, {"ssim": other}) == sure


def test_a_limit_must_hold_in_the_second_measurement_too() -> None:
    first = with_figures(make(0, Setting(), 1.0, 0.01), ssim=0.95)
    again = Verification(
        speedup=first.speedup,
        score_loss=first.score_loss,
        latency_s=1.0,
        score=30.0,
        prompts=4,
        fidelity=with_figures(first, ssim=0.85).fidelity,
    )
    limits = Limits(score_loss=0.02, others={"ssim": 0.9})
    assert first.feasible(limits)
    assert replace(first, verified=again).missed(limits) == ["ssim"]
