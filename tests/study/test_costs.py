"""What a study has cost: the accounts of its trials and of its runs, added up."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench, measurement
from tuner.measure.account import Account, Purpose
from tuner.measure.evaluation import Measurement
from tuner.setting import Setting
from tuner.study.baseline import set_baseline
from tuner.study.costs import read_costs
from tuner.study.recording import store_cost


def account(**spent: tuple[float, int]) -> Account:
    """Seconds and pictures by the names of purposes."""
    result = Account()
    for name, (seconds, pictures) in spent.items():
        result.add(Purpose[name], seconds, pictures)
    return result


class Costly(Bench):
    """Each trial takes three seconds for 32 scored pictures and eight others."""

    def measure(self, setting: Setting, trial: int) -> "list[Measurement]":  # type: ignore[override]
        cost = account(SCORED=(2.0, 32), TIMING=(0.5, 8), SCORING=(0.25, 0), REST=(0.25, 0))
        return [replace(measurement(setting), cost=cost)]


def test_costs_of_trials_and_runs_are_added_up(tmp_path: Path) -> None:
    bench = Costly(tmp_path, trials=3)
    bench.search()
    store_cost(bench.study, "a", account(LOADING=(4.0, 0), BASELINE=(8.0, 64)))
    store_cost(bench.study, "b", account(VERIFICATION=(1.0, 16)))
    store_cost(bench.study, "b", account(VERIFICATION=(2.0, 32)))  # in place of the one before
    set_baseline(bench.study, {"latency_s": 0.125, "num_samples": 32})
    costs = read_costs(bench.study)
    measured = len(costs.trials)
    assert measured == 3
    assert costs.total.total_s == pytest.approx(14.0 + 3.0 * measured)
    assert costs.total.pictures[Purpose.SCORED] == 32 * measured
    assert costs.baseline_s == 4.0
    # Of 64 pictures of the baseline, 32 came with later batches, and were scored.
    assert costs.scored_share == pytest.approx(
        (32 + 32 + 32 * measured) / (32 + 32 + 40 * measured)
    )
    assert costs.outside_share == pytest.approx(0.5 * measured / (10.0 + 3.0 * measured))


def test_a_study_of_an_old_version_has_no_costs(tmp_path: Path) -> None:
    costs = read_costs(Bench(tmp_path).study)
    assert (costs.total.seconds, costs.scored_share, costs.outside_share) == ({}, None, None)
