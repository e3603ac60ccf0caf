"""Trials and studies in sentences."""

from dataclasses import replace
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from tests.study.test_results import make
from tuner import describe
from tuner.limits import Limits
from tuner.measure.account import Account, Purpose
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study.costs import StudyCosts
from tuner.study.results import Verification

DEEPCACHE = Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})
LIMITS = Limits(score_loss=0.02)
GOAL = Goal(limits=LIMITS)
RESULT = replace(
    make(3, DEEPCACHE, 2.0, 0.005), score_loss=Estimate(value=0.005, low=-0.002, high=0.012)
)


def verified(loss: float) -> Verification:
    return Verification(
        prompts=16,
        speedup=RESULT.speedup,
        score_loss=Estimate(value=loss, low=loss, high=loss),
        score=30.0,
        latency_s=0.5,
    )


def test_a_trial_is_described_by_speed_loss_verdict_and_intervals() -> None:
    assert describe.trial(RESULT, GOAL, baseline_s=1.0) == [
        "Speedup 2.00× (2.00 … 2.00), 0.500 s per image instead of 1.000 s.",
        "Score loss 0.50% (-0.20 … 1.20%) over 4 prompts. (In parentheses: 95% intervals.)",
        "Verdict with score loss under 2%: under the limit (sure).",
    ]


def test_a_predicted_speedup_is_said_to_be_predicted() -> None:
    predicted = replace(RESULT, speedup_from="model")
    assert describe.trial(predicted, GOAL, baseline_s=1.0)[-1] == (
        "The speedup is predicted from timed steps; no timed pair of batches contradicts it."
    )


def test_a_speedup_without_an_interval_is_said_to_have_none() -> None:
    unknown = replace(RESULT, speedup=Estimate(value=2.0, low=-inf, high=inf))
    assert describe.how_timed(unknown).endswith("; its interval is not known")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        ({"failed_again": "out of memory"}, "Its verification failed: out of memory."),
        (
            {"verified": verified(0.01)},
            "Verified: a second measurement gave 2.00×, loss 1.00%, 16 prompts.",
        ),
        (
            {"verified": verified(0.03)},
            "It does not hold: a second measurement gave 2.00×, loss 3.00%, 16 prompts.",
        ),
    ],
)
def test_a_verification_is_described_by_whether_it_holds(
    changes: dict[str, object], sentence: str
) -> None:
    assert describe.verification(replace(RESULT, **changes), GOAL) == sentence  # type: ignore[arg-type]


def test_a_verification_that_is_slower_than_the_target_does_not_hold() -> None:
    result = replace(RESULT, verified=verified(0.01))
    fast_enough, too_slow = (Goal(limits=LIMITS, speedup=target) for target in (1.9, 2.1))
    assert describe.verification(result, fast_enough).startswith("Verified: ")
    assert describe.verification(result, too_slow).startswith("It does not hold: ")


def test_the_best_setting_is_named_or_else_the_closest_with_what_it_misses() -> None:
    best, unverified = describe.answer(GOAL, RESULT, None, 1.0)
    assert best == (
        "The fastest setting with score loss under 2% is deepcache 3/0 (trial 3): speedup 2.00× "
        "(2.00 … 2.00), 0.500 s per image instead of 1.000 s; score loss 0.50% (-0.20 … 1.20%) "
        "over 4 prompts."
    )
    assert unverified.startswith("Not verified")
    (closest,) = describe.answer(GOAL, None, make(4, DEEPCACHE, 3.0, 0.03), 1.0)
    assert closest.startswith("No setting has met the goal (score loss under 2%). The closest is")
    assert closest.endswith("What it misses: score loss 3.00% instead of under 2%.")
    assert describe.answer(GOAL, None, None, 1.0) == [
        "No trial is complete yet; the goal is score loss under 2%."
    ]


def test_costs_are_in_seconds_pictures_and_baselines_and_absent_where_none_were_kept() -> None:
    account = Account()
    account.add(Purpose.SCORED, 90.0, 1200)
    costs = StudyCosts(trials={0: account}, baseline_s=30.0, prompts=32)
    assert describe.cost(costs).startswith(
        "The study has cost 1,200 pictures and 1 min 30 s, 3.0 times"
    )
    assert describe.cost(StudyCosts()) == ""


def test_the_line_that_applies_a_setting_is_python_that_passes_it_to_tuner_apply() -> None:
    given: list[Any] = []
    stand_in = SimpleNamespace(apply=lambda pipe, setting: given.append(setting))
    exec(describe.application(DEEPCACHE), {"pipe": None, "tuner": stand_in})
    assert [Setting.of(setting) for setting in given] == [DEEPCACHE]
