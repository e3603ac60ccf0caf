"""The loop on a made-up landscape: what it records, repeats, judges anew and continues."""

from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.study import _optimize

from tests.helpers.landscape import Bench, measurement, refuted, setting_of
from tuner.sampler_table import SAMPLERS
from tuner.search import deadline
from tuner.search.goal import Goal
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.study.results import read_results


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_searches_and_continues(name: str, tmp_path: Path) -> None:
    assert len(Bench(tmp_path, sampler=name, trials=16).search()) == 16
    again = Bench(tmp_path, sampler=name, trials=20)
    assert len(again.search()) == 20
    assert len(again.measured) <= 4


def test_the_known_good_settings_come_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, trials=7)
    known = Space.of(bench.spec).known_good()
    assert [setting_of(trial) for trial in bench.search()] == known[:7]
    assert bench.measured == known[:7]


def test_settings_that_are_to_be_first_stand_for_the_known_good_ones(tmp_path: Path) -> None:
    first = [
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 3}})
        for interval in (5, 4)
    ]
    knobs = {"deepcache": {"cache_interval": (4, 5), "cache_branch_id": (3,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=2)
    bench.search(first=first)
    assert bench.measured == first
    again = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=3)
    again.search(first=first)  # it has begun: nothing is first any more
    assert len(again.study.trials) == 3


def test_enough_trials_measure_nothing_more(tmp_path: Path) -> None:
    Bench(tmp_path).search()
    for trials in (5, 3):
        again = Bench(tmp_path, trials=trials)
        assert len(again.search()) == 5
        assert again.measured == []


def test_a_setting_that_comes_again_is_not_measured_again(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=12)
    trials = bench.search()
    assert len(trials) == 12
    assert sorted(str(setting) for setting in bench.measured) == ["baseline", "deepcache 3/0"]
    for one in trials:
        figures = measurement(setting_of(one))
        assert one.values == [figures.speedup.value, figures.score_loss.value]
    repeated = [trial for trial in trials if "same_as" in trial.user_attrs]
    assert len(repeated) == 10
    for one in repeated:
        earlier = trials[one.user_attrs["same_as"]]
        assert "same_as" not in earlier.user_attrs
        assert one.constraints == earlier.constraints


def test_a_second_measurement_counts_for_every_trial_of_its_setting(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=knobs, trials=6)
    trials = bench.search()
    bench.study.set_user_attr("verified", {"0": refuted(trials[0].user_attrs)})
    found = [result for result in read_results(bench.study) if result.setting.accelerators]
    assert len(found) > 1
    assert not [result for result in found if result.feasible(Goal.of(bench.spec).limits)]


def test_a_continued_random_search_does_not_name_the_same_settings_again(tmp_path: Path) -> None:
    first = Bench(tmp_path, trials=30)
    first.search()
    again = Bench(tmp_path, trials=45)
    again.search()
    assert not set(first.measured) & set(again.measured)
    assert len(again.measured) >= 14


def test_infinite_intervals_and_per_prompt_scores_are_kept(tmp_path: Path) -> None:
    trial = Bench(tmp_path, trials=1).search()[0]
    kept = trial.user_attrs
    assert kept["speedup_ci"][1] == float("inf")
    assert [float(score) for score in kept["scores"].split()] == pytest.approx(
        measurement(setting_of(trial)).scores, abs=1e-4
    )


def test_a_target_stops_at_the_first_trial_that_meets_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, req_speedup=1.5, req_score_loss=0.5, trials=20)
    trials = bench.search()
    figures = [measurement(setting_of(trial)).speedup.value for trial in trials]
    assert figures[-1] >= 1.5
    assert all(speedup < 1.5 for speedup in figures[:-1])
    again = Bench(tmp_path, req_speedup=1.5, req_score_loss=0.5, trials=20)
    again.search()
    assert again.measured == []


def test_what_has_accelerators_that_are_left_out_today_meets_no_target(tmp_path: Path) -> None:
    changes = {"req_speedup": 1.2, "req_score_loss": 0.5, "trials": 20}
    before = Bench(tmp_path, search_targets=("tome",), **changes)
    before.search()
    found = Goal.of(before.spec).reached(read_results(before.study))
    assert found is not None
    today = Bench(tmp_path, search_targets=("deepcache",), **changes)
    assert Goal.of(today.spec).reached(read_results(today.study)) is None
    today.search()
    assert today.measured
    found = Goal.of(today.spec).reached(read_results(today.study))
    assert found is not None
    assert found.setting.combination == "deepcache"


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


def test_a_changed_limit_judges_the_stored_trials_anew(tmp_path: Path) -> None:
    Bench(tmp_path, req_score_loss=0.02, trials=12).search()
    again = Bench(tmp_path, req_score_loss=0.04, trials=12)
    seen_at_once = again.search()
    assert again.measured == []
    stored = Bench(tmp_path, req_score_loss=0.04).study.trials
    for trials in (stored, seen_at_once):  # in the database; and by the sampler of that run
        losses = [trial.values[1] for trial in trials if trial.values]
        verdicts = [trial.constraints["0"] <= 0 for trial in trials if trial.values]
        assert verdicts == [loss < 0.04 for loss in losses] != [loss < 0.02 for loss in losses]


def test_other_limits_judge_the_stored_trials_anew(tmp_path: Path) -> None:
    Bench(tmp_path, req_score_loss=0.04, metrics=("ssim", "lpips"), trials=12).search()
    for limits in ({"ssim": 0.9}, {"lpips": 0.3, "ssim": 0.85}, {}, {"lpips": 0.15}):
        again = Bench(tmp_path, req_score_loss=0.04, limits=limits, trials=12)
        seen_at_once = again.search()
        assert again.measured == []
        stored = again.storage.study(again.study.study_name).trials
        for trials in (stored, seen_at_once):  # in the database; and by the sampler of that run
            for one in trials:
                speedup, loss = one.values
                verdicts = [value <= 0 for value in one.constraints.values()]
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
def test_no_time_means_no_hurry_and_a_little_time_ends_soon(
    timeout: float | None, trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, trials=5, timeout=timeout)

    class Clock(datetime):
        """By which each trial takes four seconds."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2026, 1, 1) + timedelta(seconds=4 * len(bench.measured))

    monkeypatch.setattr(_optimize, "datetime", SimpleNamespace(datetime=Clock))
    monkeypatch.setattr(deadline, "monotonic", lambda: 4.0 * len(bench.measured))
    assert len(bench.search()) == len(bench.measured) == trials
