"""Rules that pick one of several measured settings."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.errors import UsageError
from tuner.picking import Candidate, picked


def candidate(
    trial: int, speedup: float, loss: float, feasible: bool = True, **others: float
) -> Candidate[int]:
    figures = {"speedup": speedup, "loss": loss, **others}
    return Candidate(
        item=trial, trial=trial, setting=f"setting {trial}", feasible=feasible, figures=[figures]
    )


# 3 and 4 are the slowest and the fastest feasible; 1 is the knee, and 2 is behind it.
FRONT = [
    candidate(0, 3.6, 0.022, feasible=False, lpips=0.30),
    candidate(1, 2.8, 0.004, lpips=0.11),
    candidate(2, 2.4, 0.006, lpips=0.12),
    candidate(3, 1.2, -0.002, lpips=0.02),
    candidate(4, 3.2, 0.015, lpips=0.20),
    candidate(5, 2.0, 0.002, lpips=0.08),
]


@pytest.mark.parametrize(
    ("rule", "trial"),
    [
        ("fastest", 4),
        ("knee", 1),
        ("Knee ", 1),
        ("loss<=0.5%", 1),
        ("loss<=0.005", 1),
        ("score loss <= .2 %", 5),
        ("speedup>=2", 5),
        ("speedup >= 2.5x", 1),
        ("lpips<=0.1", 5),
        ("trial 0", 0),
        ("trial 3", 3),
    ],
)
def test_each_rule_picks_its_setting(rule: str, trial: int) -> None:
    assert picked(rule, FRONT, "the study") == trial


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("fast", "cannot pick by 'fast'; use fastest, knee, 'loss<=0.5%', 'speedup>=2', a bound"),
        ("speedup", "lacks a bound, and a shell needs quotes"),
        ("loss>=0.5%", "use 'loss<=0.5%'"),
        ("speedup<=2", "use 'speedup>=2'"),
        ("loss<=2", "for 2 percent, use 'loss<=2%'"),
        ("lpips<=10%", "lpips is a number without %"),
        ("loss<=1.2.3", "'1.2.3' is not a number"),
        ("speed>=2", "unknown figure 'speed'; known: loss, speedup, "),
        ("ssim>=0.9", "the study did not measure ssim; its figures: loss, lpips, speedup"),
        ("trial 9", "no setting of trial 9 to pick; its trials: 0, 1, 2, 3, 4, 5"),
        (
            "speedup>=3.5",
            "no feasible setting of the study has speedup>=3.5; the nearest is trial 4 (setting 4, "
            "3.20×, loss 1.50%)",
        ),
        ("loss<=-1%", "the nearest is trial 3"),
    ],
)
def test_what_cannot_be_picked_is_answered_in_one_line(rule: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        picked(rule, FRONT, "the study")


def test_only_a_trial_picks_where_nothing_is_feasible() -> None:
    infeasible = FRONT[:1]
    assert picked("trial 0", infeasible, "the study") == 0
    with pytest.raises(UsageError, match="no feasible setting to pick; 'trial N' picks one"):
        picked("knee", infeasible, "the study")


def test_a_bound_must_be_met_by_the_verification_too() -> None:
    first, again = {"speedup": 3.0, "loss": 0.004}, {"speedup": 2.9, "loss": 0.012}
    lucky = Candidate(item=6, trial=6, setting="", feasible=True, figures=[first, again])
    assert picked("loss<=0.5%", [*FRONT, lucky], "the study") == 1
    assert picked("loss<=1.2%", [*FRONT, lucky], "the study") == 6


@pytest.mark.parametrize("points", [[(2.0, 0.01)], [(2.0, 0.01), (3.0, 0.02)]])
def test_the_knee_of_one_or_two_points_is_the_fastest(points: list[tuple[float, float]]) -> None:
    candidates = [candidate(number, *point) for number, point in enumerate(points)]
    assert picked("knee", candidates, "the study") == len(points) - 1


def test_a_front_below_its_chord_has_no_knee_and_gives_the_fastest() -> None:
    candidates = [candidate(0, 1.0, 0.0), candidate(1, 1.2, 0.01), candidate(2, 3.0, 0.02)]
    assert picked("knee", candidates, "the study") == 2


figures = st.tuples(st.floats(1.0, 9.0), st.floats(-0.01, 0.1))


@given(st.lists(figures, min_size=1, max_size=8))
def test_the_knee_depends_neither_on_the_order_nor_on_points_behind_the_front(
    points: list[tuple[float, float]],
) -> None:
    candidates = [candidate(number, *point) for number, point in enumerate(points)]
    knee = candidates[picked("knee", candidates, "the study")]
    front = [
        point for point in candidates
        if not any(
            other.speedup >= point.speedup and other.loss <= point.loss
            and (other.speedup, other.loss) != (point.speedup, point.loss)
            for other in candidates
        )
    ]  # fmt: skip
    assert knee in front
    again = candidates[picked("knee", front[::-1], "the study")]
    assert (again.speedup, again.loss) == (knee.speedup, knee.loss)
