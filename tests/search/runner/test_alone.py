"""Several runs on one study: one does what ends it, a target stops all, no budget is overshot."""

import signal
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.simulated import Bench
from tuner.search.runner import other_runs
from tuner.search.runner.alone import ENDING, alone
from tuner.search.runner.observer import Observer
from tuner.storage.claims import Claims
from tuner.storage.log import log_of
from tuner.study.schema import SETTING


class Notices(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)


def test_a_run_waits_while_another_one_ends_the_study_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Bench(tmp_path), Bench(tmp_path)
    order, observer = [], Notices()
    waits = threading.Event()
    monkeypatch.setattr(other_runs, "sleep", lambda _: waits.set() or threading.Event().wait(0.01))

    def wait_for_it() -> None:
        with alone(second.study, ENDING, observer=observer) as is_mine:
            order.append(("second", is_mine))

    with alone(first.study, ENDING) as is_mine:
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        assert waits.wait(10)
        order.append(("first", is_mine))
    thread.join(10)
    assert order == [("first", True), ("second", True)]
    assert len(observer.lines) == 1
    assert observer.lines[0].startswith("waiting for ")
    assert observer.lines[0].endswith("which verifies the best setting and times the front")


def test_a_run_that_does_not_wait_is_told_that_another_one_does_it(tmp_path: Path) -> None:
    first, second = Bench(tmp_path), Bench(tmp_path)
    with alone(first.study, ENDING), alone(second.study, ENDING, waits=False) as is_mine:
        assert not is_mine


@pytest.mark.parametrize("held_elsewhere", [False, True])
def test_ctrl_c_while_the_work_is_claimed_leaves_it_to_others(
    held_elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other = Bench(tmp_path), Bench(tmp_path)
    insert = Claims._insert

    def interrupted(self: Claims, row: Mapping[str, object]) -> bool:
        taken = insert(self, row)
        signal.raise_signal(signal.SIGINT)
        return taken

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            alone(other.study, ENDING) if held_elsewhere else nullcontext(),
            monkeypatch.context() as patch,
            pytest.raises(KeyboardInterrupt),
        ):
            patch.setattr(Claims, "_insert", interrupted)
            with alone(here.study, ENDING, waits=False):
                pytest.fail("it went on")
    finally:
        signal.signal(signal.SIGINT, before)
    with alone(other.study, ENDING, waits=False) as is_mine:
        assert is_mine


class BeginsElsewhere(Observer):
    """Has another run do something once, after the first trial of this one."""

    def __init__(self, other: Bench) -> None:
        self.other: Bench | None = other

    def trial_stored(self, trial: FrozenTrial) -> None:
        other, self.other = self.other, None
        if other is not None:
            other.search()


def test_a_target_that_another_run_reaches_stops_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_runs, "SHARE", 0)  # asked after each trial, however slow the machine
    changes = {"req_speedup": 1.5, "req_score_loss": 0.5, "trials": 50}
    slow = {"deepcache": {"cache_interval": (2,), "cache_branch_id": (0, 1)}}
    unlucky = Bench(tmp_path, search_targets=("deepcache",), knobs=slow, **changes)
    lucky = Bench(tmp_path, search_targets=("deepcache",), **changes)
    unlucky.search(observer=BeginsElsewhere(lucky))
    assert len(unlucky.measured) == 1
    assert len(lucky.study.trials) < 50


def test_a_run_that_does_not_wait_leaves_a_study_whose_last_trials_run_elsewhere(
    tmp_path: Path,
) -> None:
    bench, other = Bench(tmp_path, trials=2), Bench(tmp_path, trials=2)
    other.study.ask()
    bench.search(waits=False)
    assert not bench.is_over
    assert len(bench.measured) == 1
    assert log_of(bench.study).finished() == 1


def test_a_run_that_can_only_propose_what_another_one_measures_begins_few_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}
    here, there = (Bench(tmp_path, search_targets=("deepcache",), knobs=only) for _ in range(2))
    setting = there.canonical(here.problem.space.known_good()[0])
    running = [there.study.ask(), there.study.ask()]
    for trial, params in zip(running, (setting.params, {}), strict=True):
        assert log_of(there.study).reserve(trial, SETTING, params)

    def end_theirs(seconds: float) -> None:
        for trial in running:
            there.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    class FewTrials(Observer):
        refused = 0

        def trial_ended(self, number: int, state: str, result: object, reason: str) -> None:
            self.refused += state == "FAIL"
            assert self.refused < 10, "it begins one trial after the other"

    monkeypatch.setattr(other_runs, "sleep", end_theirs)
    observer = FewTrials()
    here.search(observer=observer)
    assert observer.refused == 1
