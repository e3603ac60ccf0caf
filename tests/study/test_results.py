"""Results: the Pareto front, the best of them, and which are feasible."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_setting import settings
from tuner.limits import Limits
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study.best import fastest_feasible, pareto_front
from tuner.study.results import Result, Verification

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
def results_with_ties(draw: st.DrawFn) -> list[Result]:
    """Results with many ties; a setting that occurs twice has the same figures."""
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


def as_good(result: Result, other: Result) -> bool:
    """Whether a result is at least as fast as the other and loses no more."""
    return (
        result.speedup.value >= other.speedup.value
        and result.score_loss.value <= other.score_loss.value
    )


def dominates(result: Result, other: Result) -> bool:
    return as_good(result, other) and not as_good(other, result)


@given(results_with_ties(), LIMITS)
def test_no_member_of_the_front_is_dominated(results: list[Result], limits: Limits) -> None:
    for member in pareto_front(results, limits):
        assert not any(dominates(other, member) for other in results)


@given(results_with_ties(), LIMITS)
def test_every_other_result_is_dominated_or_a_repetition(
    results: list[Result], limits: Limits
) -> None:
    front = pareto_front(results, limits)
    members = {result.trial for result in front}
    for result in results:
        if result.trial not in members:
            assert any(as_good(member, result) for member in front)


@given(results_with_ties(), LIMITS)
def test_the_front_is_sorted_and_repeats_nothing(results: list[Result], limits: Limits) -> None:
    front = pareto_front(results, limits)
    figures = [(result.speedup.value, result.score_loss.value) for result in front]
    assert figures == sorted(set(figures))
    assert len({result.setting for result in front}) == len(front)


@given(results_with_ties(), LIMITS, st.randoms())
def test_the_order_of_results_does_not_change_the_front(
    results: list[Result], limits: Limits, rng: object
) -> None:
    mixed = list(results)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert pareto_front(mixed, limits) == pareto_front(results, limits)


@given(results_with_ties(), LIMITS)
def test_the_best_is_the_fastest_feasible_result_with_an_accelerator(
    results: list[Result], limits: Limits
) -> None:
    limit = limits.score_loss
    feasible = [
        result
        for result in results
        if result.score_loss.value < limit and result.setting.accelerators
    ]
    best = fastest_feasible(results, limits)
    assert (best is None) == (not feasible)
    if best is not None:
        assert best in feasible
        assert best.speedup.value == max(result.speedup.value for result in feasible)


@given(
    results_with_ties(),
    LIMITS,
    st.sampled_from([None, 1.0, 2.0]),
    st.sampled_from([None, 0.5, 0.9]),
)
def test_a_goal_is_reached_when_every_part_of_it_holds(
    results: list[Result], limits: Limits, speedup: float | None, latency: float | None
) -> None:
    goal = Goal(limits=limits, speedup=speedup, latency_s=latency)
    meeting = [
        result
        for result in results
        if result.setting.accelerators
        and result.score_loss.value < limits.score_loss
        and result.speedup.value >= (speedup or 0)
        and result.latency_s <= (latency or float("inf"))
    ]
    assert (goal.reached(results) is not None) == bool(meeting)


FIGURES = st.one_of(st.sampled_from([0.0, 0.2, 0.9]), st.floats(-1, 1))
OTHERS = st.fixed_dictionaries({}, optional=dict.fromkeys(("lpips", "ssim"), FIGURES))


@given(FIGURES, FIGURES, FIGURES, LIMITS, OTHERS)
def test_constraints_hold_exactly_where_a_result_is_feasible(
    loss: float, lpips: float, ssim: float, limits: Limits, others: dict[str, float]
) -> None:
    limits = replace(limits, others=others)
    figures = {"lpips": lpips, "ssim": ssim}
    result = with_figures(make(0, Setting(), 1.0, loss), **figures)
    values = limits.constraints(loss, figures)
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


def test_an_infeasible_result_never_displaces_a_feasible_one_from_the_front() -> None:
    limits = Limits(score_loss=0.05, others={"lpips": 0.2})
    slow, fast, dominated = (
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
        for interval in (2, 3, 4)
    )
    results = [
        with_figures(make(0, slow, 1.5, 0.02), lpips=0.1),  # slower, but within both limits
        with_figures(make(1, fast, 2.0, 0.01), lpips=0.3),
        with_figures(make(2, dominated, 1.8, 0.03), lpips=0.3),  # slower, and infeasible as well
    ]
    assert [result.trial for result in pareto_front(results, limits)] == [0, 1]
    best = fastest_feasible(results, limits)
    assert best is not None
    assert best.trial == 0
    assert results[1].missed(limits) == ["lpips"]


@pytest.mark.parametrize(
    ("loss", "ssim", "sure"),
    [
        ((0.00, 0.01), (0.92, 0.95), True),  # both limits are met
        ((0.00, 0.03), (0.92, 0.95), False),
        ((0.00, 0.01), (0.85, 0.95), False),
        ((0.00, 0.03), (0.80, 0.85), True),  # one limit is missed, whatever the other figure is
        ((0.02, 0.03), (0.85, 0.95), True),
    ],
)
def test_a_verdict_is_sure_if_the_intervals_lie_on_one_side_of_the_limits(
    loss: tuple[float, float], ssim: tuple[float, float], sure: bool
) -> None:
    limits = Limits(score_loss=0.02, others={"ssim": 0.9})
    score_loss, similarity = (Estimate(value=low, low=low, high=high) for low, high in (loss, ssim))
    assert limits.sure(score_loss, {"ssim": similarity}) == sure


def test_the_verification_must_meet_the_limits_too() -> None:
    first = with_figures(make(0, Setting(), 1.0, 0.01), ssim=0.95)
    verification = Verification(
        speedup=first.speedup,
        score_loss=first.score_loss,
        latency_s=1.0,
        score=30.0,
        prompts=4,
        fidelity=with_figures(first, ssim=0.85).fidelity,
    )
    limits = Limits(score_loss=0.02, others={"ssim": 0.9})
    assert first.feasible(limits)
    assert replace(first, verified=verification).missed(limits) == ["ssim"]


def verified(result: Result) -> Result:
    """The same result with a verification that has its figures."""
    verification = Verification(
        speedup=result.speedup,
        score_loss=result.score_loss,
        latency_s=result.latency_s,
        score=result.score,
        prompts=result.prompts,
    )
    return replace(result, verified=verification)


@pytest.mark.parametrize(("speedup", "is_best"), [(2.0, False), (2.03, False), (2.05, True)])
def test_a_verified_result_is_the_best_unless_another_is_clearly_faster(
    speedup: float, is_best: bool
) -> None:
    first, second, third = (
        Setting.of({"tome": {"ratio": ratio, "max_downsample": 1}}) for ratio in (0.1, 0.2, 0.3)
    )
    holds = verified(make(0, first, 2.0, 0.01))
    slower = verified(make(1, second, 1.9, 0.01))
    other = make(2, third, speedup, 0.01)
    best = fastest_feasible([other, slower, holds], Limits(score_loss=0.02))
    assert best == (other if is_best else holds)


def test_a_verified_result_that_misses_a_limit_is_not_the_best() -> None:
    first, second = (
        Setting.of({"tome": {"ratio": ratio, "max_downsample": 1}}) for ratio in (0.1, 0.2)
    )
    lossy, other = verified(make(0, first, 2.0, 0.03)), make(1, second, 1.5, 0.01)
    assert fastest_feasible([lossy, other], Limits(score_loss=0.02)) == other
