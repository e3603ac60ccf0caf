"""The table and the remarks that are printed for a study's results."""

from dataclasses import replace
from typing import Any

import pytest

from tuner.cli.tables import remarks
from tuner.limits import Limits
from tuner.measure.statistics import Estimate
from tuner.setting import Setting
from tuner.study.results import Result
from tuner.study.verdicts import verdict


def result(ratio: float, note: str | None, **changes: Any) -> Result:
    base = Result(
        trial=0,
        setting=Setting.of({"tome": {"ratio": ratio, "max_downsample": 1}}),
        speedup=Estimate(value=0.9, low=0.8, high=1.0),
        score_loss=Estimate(value=0.0, low=0.0, high=0.0),
        latency_s=1.0,
        score=30.0,
        prompts=2,
        same_pictures=False,
        note=note,
    )
    return replace(base, **changes)


def test_a_remark_names_three_settings_once_each_and_counts_the_rest() -> None:
    results = [result(0.1, None)] + [result(ratio, "slow") for ratio in (0.2, 0.2, 0.3, 0.4, 0.5)]
    assert remarks(results) == [
        "slow: tome 0.2/1 (0.90×), tome 0.3/1 (0.90×), tome 0.4/1 (0.90×) and 1 more"
    ]


def test_results_without_notes_have_no_remarks() -> None:
    assert remarks([result(0.1, None)]) == []


@pytest.mark.parametrize(
    ("value", "half", "words"),
    [
        (0.01, 0.005, "under the limit, sure"),
        (0.01, 0.02, "under the limit, likely"),
        (0.01, 0.03, "under the limit, unsure"),
        (0.03, 0.02, "over the limit, likely"),
    ],
)
def test_a_verdict_includes_its_certainty(value: float, half: float, words: str) -> None:
    loss = Estimate(value=value, low=value - half, high=value + half)
    assert verdict(result(0.1, None, score_loss=loss), Limits(score_loss=0.02)) == words


def test_an_unsteady_timing_is_in_the_verdict_and_the_remarks() -> None:
    unsteady = result(0.1, None, unsteady="the speedup is known to ±9% only")
    assert verdict(unsteady, Limits(score_loss=0.02)) == "under the limit, sure; unsteady timing"
    assert remarks([unsteady]) == [
        "unsteady timing in trial 0 (tome 0.1/1): the speedup is known to ±9% only"
    ]
