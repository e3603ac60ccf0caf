"""Queued trials are run with the setting that they were queued for, or are left to other runs."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.simulated import Bench, setting_of
from tests.search.runner.test_run_failures import interrupt
from tuner.search.runner.queue import queue_first
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.storage.retries import QUEUED


def count_queued(bench: Bench) -> int:
    return len(bench.study.get_trials(states=(TrialState.WAITING,)))


def test_a_queued_trial_waits_for_a_run_that_has_its_accelerators(tmp_path: Path) -> None:
    wide = Bench(tmp_path, search_targets=("deepcache", "tome"), trials=1)
    wide.search()
    known = wide.problem.space.known_good()
    assert count_queued(wide) == len(known) - 1 > 3
    narrow = Bench(tmp_path, search_targets=("tome",), trials=1 + 6)
    narrow.search()
    of_tome = [setting for setting in known if setting.combination == "tome"]
    assert narrow.measured[: len(of_tome)] == of_tome
    assert count_queued(narrow) == len(known) - 1 - len(of_tome)
    assert log_of(narrow.study).waiting() == 0
    resumed = Bench(tmp_path, search_targets=("deepcache", "tome"), trials=7 + 3)
    resumed.search()
    assert resumed.measured == [setting for setting in known[1:] if setting not in of_tome][:3]


def test_a_trial_that_was_left_to_others_and_run_by_them_is_no_longer_queued(
    tmp_path: Path,
) -> None:
    wide = Bench(tmp_path, trials=1)
    wide.search()
    narrow = Bench(tmp_path, trials=4, search_targets=("tome",))
    narrow.search()
    assert count_queued(narrow) > 0
    Bench(tmp_path, trials=30).search()
    assert count_queued(narrow) == log_of(narrow.study).waiting() == 0


def test_a_queued_trial_waits_for_a_run_that_offers_its_values(tmp_path: Path) -> None:
    first = Bench(tmp_path, search_targets=("tome",), trials=1)
    first.search()
    knobs = {"tome": {"ratio": (0.1, 0.2), "max_downsample": (1,)}}
    narrow = Bench(tmp_path, search_targets=("tome",), knobs=knobs, trials=3)
    narrow.search()
    assert count_queued(narrow) == len(first.problem.space.known_good()) - 1 > 0


@pytest.mark.parametrize("targets", [("deepcache", "tome"), ("tome", "tgate", "deepcache")])
def test_queued_trials_are_run_unchanged_where_this_run_offers_more_accelerators(
    targets: tuple[str, ...], tmp_path: Path
) -> None:
    first = Bench(tmp_path, search_targets=("tome",), trials=1)
    first.measure = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.search()
    wanted = first.problem.space.known_good()
    wider = Bench(tmp_path, search_targets=targets, trials=len(wanted))
    wider.search()
    assert sorted(map(str, wider.measured)) == sorted(map(str, wanted))


def test_queued_settings_that_were_measured_since_are_not_run_and_do_not_delay_the_end(
    tmp_path: Path,
) -> None:
    knobs = {"deepcache": {"cache_interval": (3, 4), "cache_branch_id": (0,)}}
    bench = Bench(
        tmp_path, sampler="frontier", search_targets=("deepcache",), knobs=knobs, trials=9
    )
    both = [
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
        for interval in (3, 4)
    ]
    queue_first(bench.study, bench.problem.space, [*both, *both])
    trials = bench.search()
    assert [setting_of(trial) for trial in trials] == bench.measured == both
    assert count_queued(bench) == 2


def test_the_queue_of_an_earlier_version_is_run_where_this_space_has_all_its_numbers(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=2)
    deepcache = {"deepcache.cache_interval": 3, "deepcache.cache_branch_id": 0}
    bench.study.enqueue_trial(deepcache | {"tome.ratio": 0.0, "tome.max_downsample": 1})
    bench.study.enqueue_trial({"tome.ratio": 0.3, "tome.max_downsample": 1})
    bench.search()
    assert bench.measured[0] == Setting.of({"tome": {"ratio": 0.3, "max_downsample": 1}})
    assert bench.study.trials[0].state == TrialState.WAITING


def end_once_something_is_measured(bench: Bench, other: Bench, running: optuna.Trial) -> None:
    """Otherwise the run would wait for the other one's trial."""

    def end(setting: Setting) -> None:
        other.study.tell(running, state=TrialState.FAIL, skip_if_finished=True)

    bench.fails = end


def test_a_queued_setting_that_another_run_measures_at_this_moment_is_passed_over(
    tmp_path: Path,
) -> None:
    other, bench = Bench(tmp_path, trials=2), Bench(tmp_path, trials=2)
    first, second = bench.problem.space.known_good()[:2]
    running = other.study.ask()
    running.set_user_attr("setting", first.params)
    for setting in (first, second):
        fixed = bench.problem.space.flat(setting)
        bench.study.enqueue_trial(fixed, user_attrs={QUEUED: setting.params})
    end_once_something_is_measured(bench, other, running)
    bench.search()
    assert bench.measured == [second]
    assert count_queued(bench) == 1


def test_a_trial_whose_setting_another_run_measures_at_this_moment_does_not_count(
    tmp_path: Path,
) -> None:
    other, bench = Bench(tmp_path, trials=2), Bench(tmp_path, trials=2)
    first, second = bench.problem.space.known_good()[:2]
    running = other.study.ask()
    begun = []

    def reserved_meanwhile(trial: optuna.Trial) -> Setting:
        begun.append(trial.number)
        if len(begun) == 1:
            running.set_user_attr("setting", first.params)
            return first
        return second

    bench.problem.space.__dict__["suggest"] = reserved_meanwhile
    end_once_something_is_measured(bench, other, running)
    bench.search()
    assert bench.measured == [second]
    refused = bench.study.trials[begun[0]]
    assert refused.state == TrialState.FAIL
    assert "at this moment" in refused.user_attrs["reason"]
