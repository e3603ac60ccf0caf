"""The runner with simulated measurements: what it records, copies, re-evaluates and continues."""

from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.study import _optimize

from tests.helpers.simulated import Bench, measurement, over_the_limit, setting_of
from tuner.sampler_table import SAMPLERS
from tuner.search import deadline
from tuner.search.goal import Goal
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.study.results import read_results


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_searches_and_continues(name: str, tmp_path: Path) -> None:
    two = {"sampler": name, "search_targets": ("deepcache", "tome")}
    assert len(Bench(tmp_path, **two, trials=16).search()) == 16
    resumed = Bench(tmp_path, **two, trials=20)
    assert len(resumed.search()) == 20
    assert len(resumed.measured) <= 4


def test_the_known_good_settings_come_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, trials=7)
    known = Space.of(bench.spec).known_good()
    assert [setting_of(trial) for trial in bench.search()] == known[:7]
    assert bench.measured == known[:7]


def test_settings_to_try_first_replace_the_known_good_ones(tmp_path: Path) -> None:
    first = [
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 3}})
        for interval in (5, 4)
    ]
    knobs = {"deepcache": {"cache_interval": (4, 5), "cache_branch_id": (3,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=2)
    bench.search(first=first)
    assert bench.measured == first
    resumed = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=3)
    resumed.search(first=first)  # the search has begun already, so that nothing is tried first
    assert len(resumed.study.trials) == 3


def test_enough_trials_measure_nothing_more(tmp_path: Path) -> None:
    Bench(tmp_path).search()
    for trials in (5, 3):
        resumed = Bench(tmp_path, trials=trials)
        assert len(resumed.search()) == 5
        assert resumed.measured == []


def test_a_repeated_setting_is_copied_and_not_measured_again(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=12)
    trials = bench.search()
    assert len(trials) == 12
    assert sorted(str(setting) for setting in bench.measured) == ["baseline", "deepcache 3/0"]
    for trial in trials:
        figures = measurement(setting_of(trial))
        assert trial.values == [figures.speedup.value, figures.score_loss.value]
    repeated = [trial for trial in trials if "same_as" in trial.user_attrs]
    assert len(repeated) == 10
    for trial in repeated:
        earlier = trials[trial.user_attrs["same_as"]]
        assert "same_as" not in earlier.user_attrs
        assert trial.constraints == earlier.constraints


def test_a_verification_counts_for_every_trial_of_its_setting(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=6)
    trials = bench.search()
    bench.study.set_user_attr("verified", {"0": over_the_limit(trials[0].user_attrs)})
    results = [result for result in read_results(bench.study) if result.setting.accelerators]
    assert len(results) > 1
    assert not [result for result in results if result.feasible(Goal.of(bench.spec).limits)]


def test_a_continued_random_search_does_not_propose_the_same_settings_again(tmp_path: Path) -> None:
    first = Bench(tmp_path, trials=30)
    first.search()
    resumed = Bench(tmp_path, trials=45)
    resumed.search()
    assert not set(first.measured) & set(resumed.measured)
    assert len(resumed.measured) >= 14


def test_infinite_intervals_and_per_prompt_scores_are_stored(tmp_path: Path) -> None:
    trial = Bench(tmp_path, trials=1).search()[0]
    stored = trial.user_attrs
    assert stored["speedup_ci"][1] == float("inf")
    assert [float(score) for score in stored["scores"].split()] == pytest.approx(
        measurement(setting_of(trial)).scores, abs=1e-4
    )


def test_a_target_stops_at_the_first_trial_that_meets_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, req_speedup=1.5, req_score_loss=0.5, trials=20)
    trials = bench.search()
    speedups = [measurement(setting_of(trial)).speedup.value for trial in trials]
    assert speedups[-1] >= 1.5
    assert all(speedup < 1.5 for speedup in speedups[:-1])
    resumed = Bench(tmp_path, req_speedup=1.5, req_score_loss=0.5, trials=20)
    resumed.search()
    assert resumed.measured == []


def test_a_setting_with_excluded_accelerators_meets_no_target(tmp_path: Path) -> None:
    changes = {"req_speedup": 1.2, "req_score_loss": 0.5, "trials": 20}
    before = Bench(tmp_path, search_targets=("tome",), **changes)
    before.search()
    reached = Goal.of(before.spec).reached(read_results(before.study))
    assert reached is not None
    resumed = Bench(tmp_path, search_targets=("deepcache",), **changes)
    assert Goal.of(resumed.spec).reached(read_results(resumed.study)) is None
    resumed.search()
    assert resumed.measured
    reached = Goal.of(resumed.spec).reached(read_results(resumed.study))
    assert reached is not None
    assert reached.setting.combination == "deepcache"


def test_the_baseline_itself_does_not_meet_a_target(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (3,)}}
    bench = Bench(
        tmp_path,
        search_targets=("deepcache",),
        knobs=knobs,
        req_speedup=0.5,
        req_score_loss=0.001,  # only the baseline is under it
        trials=12,
    )
    assert len(bench.search()) == 12


def test_a_changed_limit_re_evaluates_stored_trials(tmp_path: Path) -> None:
    Bench(tmp_path, req_score_loss=0.02, trials=12).search()
    resumed = Bench(tmp_path, req_score_loss=0.04, trials=12)
    seen_by_sampler = resumed.search()
    assert resumed.measured == []
    stored = Bench(tmp_path, req_score_loss=0.04).study.trials
    for trials in (stored, seen_by_sampler):  # as stored, and as the sampler of that run sees them
        losses = [trial.values[1] for trial in trials if trial.values]
        verdicts = [trial.constraints["0"] <= 0 for trial in trials if trial.values]
        assert verdicts == [loss < 0.04 for loss in losses] != [loss < 0.02 for loss in losses]


def test_changed_limits_of_extra_metrics_re_evaluate_stored_trials(tmp_path: Path) -> None:
    Bench(tmp_path, req_score_loss=0.04, metrics=("ssim", "lpips"), trials=12).search()
    for limits in ({"ssim": 0.9}, {"lpips": 0.3, "ssim": 0.85}, {}, {"lpips": 0.15}):
        resumed = Bench(tmp_path, req_score_loss=0.04, limits=limits, trials=12)
        seen_by_sampler = resumed.search()
        assert resumed.measured == []
        stored = resumed.storage.study(resumed.study.study_name).trials
        for trials in (
            stored,
            seen_by_sampler,
        ):  # as stored, and as the sampler of that run sees them
            for trial in trials:
                speedup, loss = trial.values
                verdicts = [value <= 0 for value in trial.constraints.values()]
                assert verdicts == [
                    loss < 0.04,
                    *(1 - loss * 5 > limits["ssim"] for _ in limits.keys() & {"ssim"}),
                    *(loss * 10 < limits["lpips"] for _ in limits.keys() & {"lpips"}),
                ], (limits, speedup)


def test_settings_that_are_the_same_computation_are_measured_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=20)
    half = Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}})
    bench.canonical = lambda setting: half if setting.accelerators else setting
    trials = bench.search()
    assert {setting_of(trial) for trial in trials} <= {half, Setting()}
    assert len(bench.measured) == len(set(bench.measured)) <= 2


@pytest.mark.parametrize(("timeout", "trials"), [(10.0, 3), (0.5, 1), (None, 5)])
def test_a_timeout_ends_the_search_and_without_one_all_trials_run(
    timeout: float | None, trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, trials=5, timeout=timeout)

    class Clock(datetime):
        """A clock by which each trial takes four seconds."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2026, 1, 1) + timedelta(seconds=4 * len(bench.measured))

    monkeypatch.setattr(_optimize, "datetime", SimpleNamespace(datetime=Clock))
    monkeypatch.setattr(deadline, "monotonic", lambda: 4.0 * len(bench.measured))
    assert len(bench.search()) == len(bench.measured) == trials
