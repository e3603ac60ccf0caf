"""The Pareto front, and the best of what was found."""

from hypothesis import given
from hypothesis import strategies as st

from tests.test_setting import settings
from tuner.measure.statistics import Estimate
from tuner.search import record
from tuner.search.goal import Goal
from tuner.search.record import Result
from tuner.setting import Setting
from tuner.storage import constraint

LIMITS = st.sampled_from([0.005, 0.01, 0.02, 0.05])


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


@given(found())
def test_no_member_of_the_front_is_dominated(results: list[Result]) -> None:
    for member in record.front(results):
        assert not any(dominates(other, member) for other in results)


@given(found())
def test_every_other_result_is_dominated_or_a_repeat(results: list[Result]) -> None:
    front = record.front(results)
    members = {one.trial for one in front}
    for one in results:
        if one.trial not in members:
            assert any(as_good(member, one) for member in front)


@given(found())
def test_the_front_is_sorted_and_repeats_nothing(results: list[Result]) -> None:
    front = record.front(results)
    figures = [(one.speedup.value, one.score_loss.value) for one in front]
    assert figures == sorted(set(figures))
    assert len({one.setting for one in front}) == len(front)


@given(found(), st.randoms())
def test_the_order_of_results_does_not_change_the_front(
    results: list[Result], chance: object
) -> None:
    mixed = list(results)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert record.front(mixed) == record.front(results)


@given(found(), LIMITS)
def test_the_best_is_the_fastest_feasible_one_that_accelerates(
    results: list[Result], limit: float
) -> None:
    may = [one for one in results if one.score_loss.value < limit and one.setting.accelerators]
    best = record.best(results, limit)
    assert (best is None) == (not may)
    if best is not None:
        assert best in may
        assert best.speedup.value == max(one.speedup.value for one in may)


@given(found(), LIMITS, st.sampled_from([None, 1.0, 2.0]), st.sampled_from([None, 0.5, 0.9]))
def test_a_goal_is_reached_when_every_part_of_it_holds(
    results: list[Result], limit: float, speedup: float | None, latency: float | None
) -> None:
    goal = Goal(limit=limit, speedup=speedup, latency_s=latency)
    meets = [
        one
        for one in results
        if one.setting.accelerators
        and one.score_loss.value < limit
        and one.speedup.value >= (speedup or 0)
        and one.latency_s <= (latency or float("inf"))
    ]
    assert (goal.reached(results) is not None) == bool(meets)


@given(st.floats(-1, 1), LIMITS)
def test_a_constraint_holds_exactly_where_a_result_is_feasible(loss: float, limit: float) -> None:
    result = make(0, Setting(), 1.0, loss)
    assert (constraint(loss, limit) <= 0) == result.feasible(limit)
