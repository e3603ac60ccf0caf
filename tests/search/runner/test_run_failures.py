"""Trials that fail: the reasons that are stored, and when the trials are tried again."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.simulated import Bench, setting_of
from tuner.errors import BadPictureError, DeviceMemoryError, TrialError, UnfitError
from tuner.measure.evaluation import Measurement
from tuner.search.runner.observer import Observer
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.storage.log import log_of
from tuner.storage.retries import RETRIES, TRIES


@pytest.mark.parametrize("kind", [BadPictureError, DeviceMemoryError])
def test_what_would_fail_again_fails_with_its_reason_and_is_not_tried_again(
    kind: type[TrialError], tmp_path: Path
) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=6)
    bad = Space.of(bench.spec).known_good()[0]
    bench.fails = lambda setting: kind("it is black") if setting == bad else None
    trials = bench.search()
    assert bench.measured.count(bad) == 1
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL] == [0]
    assert trials[0].user_attrs["reason"] == "it is black"
    assert len(trials) == 6


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes\n do not match"),
        TrialError("another one"),
        ValueError(""),
        KeyError("down_blocks.1"),
        TypeError("forward() got an unexpected keyword argument"),
        IndexError("index 5 is out of range"),
        AssertionError("no tokens"),
        AttributeError("no attribute 'cache'"),
        NotImplementedError("not on this device"),
        OSError("no space left"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_crash_is_tried_twice_more_and_the_study_goes_on(
    error: Exception, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=8)
    crashes = Space.of(bench.spec).known_good()[0]
    bench.fails = lambda setting: error if setting == crashes else None
    trials = bench.search()
    assert len(trials) == 8 + RETRIES  # of the tries only the last one counts
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert [setting_of(trial) for trial in failed] == [crashes] * (1 + RETRIES)
    assert bench.measured.count(crashes) == 3
    reason = failed[0].user_attrs["reason"]
    assert reason
    assert "\n" not in reason


@pytest.mark.parametrize("trials", [1, 2])
@pytest.mark.parametrize("crashes", range(1, RETRIES + 2))
@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_run_leaves_no_retry_undone_and_crashes_that_are_retried_use_up_no_trials(
    sampler: str, crashes: int, trials: int, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, sampler=sampler, search_targets=("tome",), trials=trials)
    times = iter(range(99))
    bench.fails = lambda setting: RuntimeError("boom") if next(times) < crashes else None
    ended = bench.search()
    assert len(ended) == trials + min(crashes, RETRIES)
    states = [trial.state for trial in ended]
    assert states.count(TrialState.FAIL) == crashes
    assert states.count(TrialState.COMPLETE) == len(ended) - crashes
    waiting = bench.study.get_trials(states=(TrialState.WAITING,))
    assert [trial for trial in waiting if TRIES in trial.user_attrs] == []
    resumed = Bench(tmp_path, sampler=sampler, search_targets=("tome",), trials=trials)
    resumed.search()
    assert resumed.measured == []


def test_a_run_of_several_takes_over_the_retry_of_another_ones_crash(tmp_path: Path) -> None:
    bench, other = (Bench(tmp_path, search_targets=("tome",), trials=1) for _ in range(2))
    bench.fails = lambda setting: RuntimeError("boom")
    observer = Observer()
    observer.trial_stored = lambda trial: other.search() and None  # type: ignore[method-assign]
    bench.search(observer=observer)
    states = [trial.state for trial in bench.study.trials]
    assert states.count(TrialState.FAIL) == states.count(TrialState.COMPLETE) == 1
    assert other.measured == bench.measured


def test_a_setting_that_crashed_once_is_measured_at_the_next_try(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=4)
    crashes = Space.of(bench.spec).known_good()[0]
    times = iter(range(9))
    bench.fails = lambda setting: (
        RuntimeError("once") if setting == crashes and next(times) == 0 else None
    )
    states = [trial.state for trial in bench.search() if setting_of(trial) == crashes]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_the_observer_is_told_whether_the_setting_of_a_crashed_trial_is_queued_again(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=4)
    crashes, black = Space.of(bench.spec).known_good()[:2]
    errors = {crashes: RuntimeError("boom"), black: BadPictureError("it is black")}
    bench.fails = errors.get
    queued_again: list[int] = []
    observer = Observer()
    observer.trial_queued_again = queued_again.append  # type: ignore[method-assign]
    trials = bench.search(observer=observer)
    failed = {t.number: t.user_attrs["reason"] for t in trials if t.state == TrialState.FAIL}
    assert sorted(failed.values()) == ["boom", "boom", "boom", "it is black"]
    crashed = [number for number, reason in failed.items() if reason == "boom"]
    assert queued_again == crashed[:2]


def test_an_accelerator_that_does_not_fit_ends_the_search(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fails = lambda setting: UnfitError("tome needs a U-Net")
    with pytest.raises(UnfitError):
        bench.search()


def interrupt(setting: Setting, trial: int) -> Iterator[Measurement]:
    raise KeyboardInterrupt
    yield


def test_an_interrupted_trial_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=4)
    bench.measure = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.search()
    interrupted = bench.study.trials[0]
    assert interrupted.state == TrialState.FAIL
    assert interrupted.user_attrs["reason"] == "interrupted"
    resumed = Bench(tmp_path, search_targets=("tome",), trials=4)
    trials = resumed.search()
    assert setting_of(interrupted) in resumed.measured
    assert [trial.state for trial in trials].count(TrialState.FAIL) == 1


def test_an_error_after_ctrl_c_is_the_interruption_itself(tmp_path: Path) -> None:
    """Ctrl-C reaches a compiler that torch has started too, and torch reports that it died."""

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        signal.raise_signal(signal.SIGINT)  # handled before it returns
        raise RuntimeError("the compiler died")
        yield

    bench = Bench(tmp_path, search_targets=("tome",), trials=4)
    bench.measure = measure  # type: ignore[method-assign]
    # Tests that a shell started in the background would ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            bench.search()
    finally:
        signal.signal(signal.SIGINT, before)
    assert bench.study.trials[0].user_attrs["reason"] == "interrupted"


def test_a_trial_whose_process_died_is_failed_and_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=4)
    lost = Space.of(bench.spec).known_good()[0]
    bench.study.enqueue_trial(Space.of(bench.spec).flat(lost))
    trial = bench.study.ask()
    Space.of(bench.spec).suggest(trial)
    trial.set_user_attr("worker", f"{socket.gethostname()}:999999999/1")
    trials = bench.search()
    assert trials[0].state == TrialState.FAIL
    assert "process ended" in trials[0].user_attrs["reason"]
    assert setting_of(trials[1]) == lost
    assert trials[1].state == TrialState.COMPLETE


# A random search may propose a setting again, which is then copied. The trials before have no ToMe.
@pytest.mark.parametrize(("sampler", "before"), [("random", "deepcache"), ("grid", "tome")])
def test_a_last_trial_that_was_interrupted_is_measured_by_the_same_command(
    sampler: str, before: str, tmp_path: Path
) -> None:
    def bench(accelerator: str = "tome", trials: int = 3) -> Bench:
        targets = (accelerator,)
        return Bench(tmp_path, sampler=sampler, search_targets=targets, trials=trials)

    first = bench(before, trials=2)
    first.search()
    assert all(setting.accelerators for setting in first.measured)
    for _ in range(RETRIES + 2):  # any number of times: interruptions do not count as tries
        interrupted = bench()
        interrupted.measure = interrupt  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            interrupted.search()
    resumed = bench()
    trials = resumed.search()
    assert resumed.measured == [setting_of(trials[-1])] == [setting_of(trials[2])]
    assert [trial.state for trial in trials].count(TrialState.COMPLETE) == 3
    # Trials that another request queued wait for a run that offers their accelerators.
    waiting = resumed.study.get_trials(states=(TrialState.WAITING,))
    assert not any("tome.ratio" in trial.system_attrs["fixed_params"] for trial in waiting)
    finished = bench()
    finished.search()
    assert finished.measured == []


@pytest.mark.parametrize("deaths", range(1, RETRIES + 2))
def test_a_last_trial_whose_process_died_is_retried_by_the_same_command_up_to_the_limit(
    deaths: int, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, search_targets=("tome",), trials=3)
    Bench(tmp_path, search_targets=("tome",), trials=2).search()
    for _ in range(deaths):
        log_of(bench.study).fail_dead_trials()
        trial = bench.study.ask()
        setting = Space.of(bench.spec).suggest(trial)
        trial.set_user_attr("worker", f"{socket.gethostname()}:999999999/1")
    trials = bench.search()
    assert bench.measured == ([setting] if deaths <= RETRIES else [])
    assert [trial.state for trial in trials].count(TrialState.FAIL) == deaths
    assert bench.study.get_trials(states=(TrialState.WAITING,)) == []
