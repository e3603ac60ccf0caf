"""Trials that are stopped early, when they are measured again, and how a search ends."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import TrialState

from tests.helpers.simulated import Bench, batched_bench, measurement, over_the_limit
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.runner.observer import Observer
from tuner.setting import Setting
from tuner.study.results import read_results


def test_a_hopeless_trial_is_stopped_and_is_no_result(tmp_path: Path) -> None:
    bench = batched_bench(tmp_path, trials=16, req_score_loss=0.005)
    trials = bench.search(samples=32, stops_early=True)
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert stopped and len(stopped) < len(trials)
    for trial in stopped:
        assert trial.user_attrs["prompts"] < 32
        assert trial.user_attrs["score_loss"] > 0.005
        assert "prompts, certain to miss a limit; " in trial.user_attrs["reason"]
    assert bench.batches == sum(trial.user_attrs["prompts"] for trial in trials) / 8
    complete = {result.trial for result in read_results(bench.study)}
    assert complete == {trial.number for trial in trials} - {trial.number for trial in stopped}


def test_a_stopped_setting_is_measured_again_only_under_a_looser_limit(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (5,), "cache_branch_id": (3,)}}
    first = batched_bench(tmp_path, trials=2, req_score_loss=0.005, knobs=knobs)
    assert first.search(samples=32, stops_early=True)[0].state == TrialState.PRUNED
    stricter = batched_bench(tmp_path, trials=4, req_score_loss=0.004, knobs=knobs)
    stricter.search(samples=32, stops_early=True)
    assert not [setting for setting in stricter.measured if setting.accelerators]
    looser = batched_bench(tmp_path, trials=8, req_score_loss=0.5, knobs=knobs)
    looser.search(samples=32, stops_early=True)
    assert [str(setting) for setting in looser.measured if setting.accelerators] == [
        "deepcache 5/3"
    ]


class Notices(Observer):
    """Collects the notices."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)


def test_a_search_that_has_tried_every_setting_ends_and_reports_it_each_time(
    tmp_path: Path,
) -> None:
    bench, observer = batched_bench(tmp_path, trials=100), Notices()
    trials = bench.search(samples=32, stops_early=True, observer=observer)
    assert len(trials) == len(bench.measured) == len(set(bench.measured)) == 16
    assert observer.lines == ["the search has ended: every setting was tried"]
    resumed, observer = batched_bench(tmp_path, trials=100), Notices()
    assert len(resumed.search(samples=32, stops_early=True, observer=observer)) == 16
    assert resumed.measured == []
    assert observer.lines == ["the search has ended: every setting was tried"]


def test_a_search_does_not_end_while_a_setting_waits_for_another_try(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3, 4), "cache_branch_id": (0,)}}
    bench = Bench(tmp_path, sampler="frontier", search_targets=("deepcache",), knobs=knobs,
                  trials=100)  # fmt: skip
    bench.fails = lambda setting: RuntimeError("once") if len(bench.measured) == 2 else None
    states = [trial.state for trial in bench.search()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert len(set(bench.measured)) == 2


def test_a_sampler_that_may_propose_a_setting_twice_goes_on(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    bench, observer = (
        Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=6),
        Notices(),
    )
    assert len(bench.search(observer=observer)) == 6
    assert observer.lines == []


def test_a_trial_behind_a_rival_stops_and_is_repeated_when_the_rival_fails_verification(
    tmp_path: Path,
) -> None:
    knobs = {"deepcache": {"cache_interval": (4, 5), "cache_branch_id": (0,)}}
    better, worse = (
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
        for interval in (5, 4)
    )

    def search(trials: int) -> tuple[Bench, list[optuna.trial.FrozenTrial]]:
        bench = Bench(tmp_path, sampler="frontier", search_targets=("deepcache",), knobs=knobs,
                      trials=trials)  # fmt: skip

        def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
            bench.measured.append(setting)
            loss = 0.001 if setting == better else 0.012
            speedup = 2.0 if setting == better else 1.5
            for prompts in (8, 32):
                yield replace(
                    measurement(setting),
                    prompts=prompts,
                    speedup=Estimate(value=speedup, low=speedup - 0.1, high=speedup + 0.1),
                    score_loss=Estimate(value=loss, low=loss - 0.004, high=loss + 0.004),
                )

        bench.measure = measure  # type: ignore[method-assign]
        return bench, bench.search(samples=32, stops_early=True, first=[better, worse])

    first, trials = search(2)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert trials[1].user_attrs["prompts"] == 8
    assert "certain to be slower and lose more than trial 0" in trials[1].user_attrs["reason"]
    resumed, trials = search(6)  # every setting was tried
    assert resumed.measured == []
    first.study.set_user_attr("verified", {"0": over_the_limit(trials[0].user_attrs)})
    after, trials = search(7)
    assert after.measured == [worse]
    assert trials[2].state == TrialState.COMPLETE
