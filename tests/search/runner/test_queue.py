"""What is queued is run as what it was queued for, or not at all."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.landscape import Bench, setting_of
from tests.search.runner.test_run_failures import interrupt
from tuner.search.runner.queue import enqueue
from tuner.setting import Setting
from tuner.storage.log import log_of


def queued(bench: Bench) -> int:
    return len(bench.study.get_trials(states=(TrialState.WAITING,)))


def test_what_is_queued_waits_for_a_run_that_has_its_accelerators(tmp_path: Path) -> None:
    wide = Bench(tmp_path, search_targets=("deepcache", "tome"), trials=1)
    wide.search()
    known = wide.problem.space.known_good()
    assert queued(wide) == len(known) - 1 > 3
    narrow = Bench(tmp_path, search_targets=("tome",), trials=1 + 6)
    narrow.search()
    of_tome = [setting for setting in known if setting.combination == "tome"]
    assert narrow.measured[: len(of_tome)] == of_tome
    assert queued(narrow) == len(known) - 1 - len(of_tome)
    assert log_of(narrow.study).waiting() == 0
    again = Bench(tmp_path, search_targets=("deepcache", "tome"), trials=7 + 3)
    again.search()
    assert again.measured == [setting for setting in known[1:] if setting not in of_tome][:3]


def test_what_was_passed_over_and_then_run_by_others_waits_no_more(tmp_path: Path) -> None:
    wide = Bench(tmp_path, trials=1)
    wide.search()
    narrow = Bench(tmp_path, trials=4, search_targets=("tome",))
    narrow.search()
    assert queued(narrow) > 0
    Bench(tmp_path, trials=30).search()
    assert queued(narrow) == log_of(narrow.study).waiting() == 0


def test_what_is_queued_waits_for_a_run_that_offers_its_values(tmp_path: Path) -> None:
    first = Bench(tmp_path, search_targets=("tome",), trials=1)
    first.search()
    knobs = {"tome": {"ratio": (0.1, 0.2), "max_downsample": (1,)}}
    narrow = Bench(tmp_path, search_targets=("tome",), knobs=knobs, trials=3)
    narrow.search()
    assert queued(narrow) == len(first.problem.space.known_good()) - 1 > 0


@pytest.mark.parametrize("targets", [("deepcache", "tome"), ("tome", "tgate", "deepcache")])
def test_what_is_queued_is_run_alone_where_more_is_offered_today(
    targets: tuple[str, ...], tmp_path: Path
) -> None:
    first = Bench(tmp_path, search_targets=("tome",), trials=1)
    first.measure = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.search()
    wanted = first.problem.space.known_good()
    more = Bench(tmp_path, search_targets=targets, trials=len(wanted))
    more.search()
    assert sorted(map(str, more.measured)) == sorted(map(str, wanted))


def test_what_was_measured_since_is_not_run_again_and_keeps_no_search_from_its_end(
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
    enqueue(bench.study, bench.problem.space, [*both, *both])
    trials = bench.search()
    assert [setting_of(trial) for trial in trials] == bench.measured == both
    assert queued(bench) == 2


def test_the_queue_of_an_earlier_version_is_run_where_its_numbers_are_all_known(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=2)
    deepcache = {"deepcache.cache_interval": 3, "deepcache.cache_branch_id": 0}
    bench.study.enqueue_trial(deepcache | {"tome.ratio": 0.0, "tome.max_downsample": 1})
    bench.study.enqueue_trial({"tome.ratio": 0.3, "tome.max_downsample": 1})
    bench.search()
    assert bench.measured[0] == Setting.of({"tome": {"ratio": 0.3, "max_downsample": 1}})
    assert bench.study.trials[0].state == TrialState.WAITING
