"""Open verdicts of the front take more prompts, once the search has ended."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.landscape import Bench, measurement, setting_of
from tuner.errors import TrialError
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search import deadline
from tuner.setting import Setting
from tuner.storage.retries import RESOLVES
from tuner.study.results import fastest_feasible, read_results

KNOBS = {"deepcache": {"cache_interval": (3, 4, 5), "cache_branch_id": (0,)}}
SLOW, MIDDLE, FAST = FIRST = [
    Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
    for interval in (3, 4, 5)
]
MOST = 8


class Open(Bench):
    """Three settings; the fastest one's verdict is open until it has eight prompts."""

    def __init__(self, folder: Path, truth: float, **changes: object) -> None:
        super().__init__(folder, search_targets=("deepcache",), knobs=KNOBS, trials=3, **changes)
        self.truth = truth

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        error = self.fails(setting)
        if error is not None:
            raise error
        for prompts in (2, 4, 6, MOST):
            loss, half = 0.001, 0.0005
            if setting == FAST:
                loss, half = (0.019, 0.01) if prompts < MOST else (self.truth, half)
            interval = Estimate(value=loss, low=loss - half, high=loss + half)
            yield replace(measurement(setting), prompts=prompts, score_loss=interval)

    def settled(self) -> list[optuna.trial.FrozenTrial]:
        """Search, and the trials that settled something."""
        trials = self.search(samples=2, most=MOST, first=FIRST)
        return [trial for trial in trials if RESOLVES in trial.user_attrs]


def test_an_open_verdict_of_the_front_is_settled_when_the_search_has_ended(tmp_path: Path) -> None:
    bench = Open(tmp_path, truth=0.015)
    (again,) = bench.settled()
    assert (setting_of(again), again.number, again.user_attrs[RESOLVES]) == (FAST, 3, 2)
    assert again.user_attrs["prompts"] == MOST
    assert bench.measured == [*FIRST, FAST]


def test_the_trial_with_the_most_prompts_counts(tmp_path: Path) -> None:
    bench = Open(tmp_path, truth=0.025)
    bench.settled()
    found = read_results(bench.study)
    assert [(result.setting, result.prompts) for result in found] == [
        (SLOW, 2),
        (MIDDLE, 2),
        (FAST, MOST),
    ]
    winner = fastest_feasible(found, bench.problem.limits)
    assert winner is not None and winner.setting == MIDDLE  # what it uncovers is sure already


def test_a_verdict_is_settled_where_the_knobs_lack_its_canonical_values(tmp_path: Path) -> None:
    knobs = {"tgate": {"gate_step": (5,), "sp_interval": (7,), "fi_interval": (3,), "warmup": (3,)}}
    bench = Bench(tmp_path, steps=20, search_targets=("tgate",), knobs=knobs, trials=1)
    bench.canonical = bench.problem.canonical

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        for prompts in (2, MOST):
            interval = Estimate(value=0.01, low=0.0, high=0.015 if prompts == MOST else 0.03)
            yield replace(measurement(setting), prompts=prompts, score_loss=interval)

    bench.measure = measure  # type: ignore[method-assign]
    only = Setting.of({"tgate": {name: values[0] for name, values in knobs["tgate"].items()}})
    first, again = bench.search(samples=2, most=MOST, first=[only])
    assert setting_of(first) == setting_of(again) != only
    assert (again.user_attrs[RESOLVES], again.user_attrs["prompts"]) == (first.number, MOST)


def test_what_is_settled_stays_so_and_what_was_cut_off_is_settled_next_time(
    tmp_path: Path,
) -> None:
    bench = Open(tmp_path, truth=0.015)
    broken = TrialError("the machine was taken away")
    bench.fails = lambda setting: broken if len(bench.measured) > 3 else None
    (failed,) = bench.settled()
    assert failed.state == TrialState.FAIL
    for _ in range(2):
        after = Open(tmp_path, truth=0.015)
        _, again = after.settled()
        assert (again.state, again.user_attrs["prompts"]) == (TrialState.COMPLETE, MOST)
    assert after.measured == []


def test_no_verdict_is_settled_after_the_time_is_up_and_the_next_run_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Open(tmp_path, truth=0.015, timeout=3600.0)
    monkeypatch.setattr(deadline, "monotonic", lambda: 3600.0 * (len(bench.measured) == 3))
    assert bench.settled() == []
    assert bench.measured == FIRST
    after = Open(tmp_path, truth=0.015, timeout=3600.0)
    assert [setting_of(trial) for trial in after.settled()] == [FAST]


def test_a_target_is_verified_and_not_settled(tmp_path: Path) -> None:
    assert Open(tmp_path, truth=0.015, req_speedup=1.1).settled() == []


def test_a_verdict_is_settled_whatever_else_is_queued(tmp_path: Path) -> None:
    bench = Open(tmp_path, truth=0.015)
    bench.spec = replace(bench.spec, trials=2)
    trials = bench.search(samples=2, most=MOST, first=[FAST, SLOW, MIDDLE])
    assert bench.measured == [FAST, SLOW, FAST]
    assert [trial.state for trial in bench.study.trials] == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.WAITING,
        TrialState.COMPLETE,
    ]
    assert len(trials) == 3
