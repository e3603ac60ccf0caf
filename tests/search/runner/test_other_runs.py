"""Running trials of other runs: waited for, marked as failed, and taken away from this run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.simulated import Bench, measurement, setting_of
from tuner.measure.evaluation import Measurement
from tuner.search.runner import other_runs
from tuner.search.runner.observer import Observer
from tuner.search.runner.trial import LOST
from tuner.setting import Setting
from tuner.storage import worker
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.recovery import GRACE_S
from tuner.storage.worker import WORKER
from tuner.study.results import Result

ELSEWHERE = "elsewhere:7/1 another-boot pid:[1]"
FOUR_SETTINGS = {"deepcache": {"cache_interval": (2, 3), "cache_branch_id": (0, 1)}}
SAMPLERS = ["grid", "walk", "frontier"]


class Reports(Observer):
    """Collects the notices, and how the trials ended."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ended: list[tuple[int, str, str]] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        self.ended.append((number, state, reason))


def study_of_four(folder: Path, sampler: str) -> Bench:
    """A study of four settings, and of the baseline where the sampler is no sweep."""
    return Bench(
        folder,
        sampler=sampler,
        search_targets=("deepcache",),
        knobs=FOUR_SETTINGS,
        trials=99 if sampler == "frontier" else None,
        req_score_loss=0.001,
    )


def begin_elsewhere(bench: Bench) -> Setting:
    """Begin a trial that looks as if another machine ran it; returns its setting."""
    trial = bench.study.ask()
    setting = bench.problem.space.suggest(trial)
    trial.set_user_attr("setting", setting.params)
    trial.set_user_attr(WORKER, ELSEWHERE)
    with bench.storage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE tuner_heartbeats SET clock = 'another', at = 5")
    return setting


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trial_that_died_on_another_machine_is_waited_for_and_measured_again(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = study_of_four(tmp_path, sampler)
    lost = begin_elsewhere(bench)
    began = worker.now()
    passed = [0.0]
    monkeypatch.setattr(worker, "now", lambda: began + passed[0])
    monkeypatch.setattr(other_runs, "sleep", lambda _: passed.append(passed.pop() + GRACE_S / 2))
    observer = Reports()
    trials = bench.search(observer=observer)
    assert observer.lines[0] == (
        f"waiting for trial 0 of process 7 on elsewhere: after another {GRACE_S:.0f} s without a "
        "heartbeat it is marked as failed and measured by this run"
    )
    assert trials[0].state == TrialState.FAIL
    complete = [setting_of(trial) for trial in trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == len(set(complete)) >= 4
    assert lost in complete
    assert not bench.study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    assert observer.lines[1:] == ["the search has ended: every setting was tried"] * (
        sampler == "frontier"
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_that_a_run_stops_waiting_for_are_named(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = study_of_four(tmp_path, sampler)
    begin_elsewhere(bench)

    def sleep(seconds: float) -> None:
        monkeypatch.setattr("tuner.search.deadline.monotonic", lambda: 1e12)

    monkeypatch.setattr(other_runs, "sleep", sleep)
    observer = Reports()
    bench.spec = replace(bench.spec, timeout=3600.0)
    bench.search(observer=observer)
    assert observer.lines[1:] == [
        "still running in other processes: trial 0 of process 7 on elsewhere; "
        "the same command continues the study"
    ]
    assert bench.study.trials[0].state == TrialState.RUNNING


@pytest.mark.parametrize("sampler", ["random", *SAMPLERS])
@pytest.mark.parametrize("broken", [False, True])
def test_a_run_that_was_suspended_for_too_long_loses_its_trial_and_goes_on(
    broken: bool, sampler: str, tmp_path: Path
) -> None:
    bench = study_of_four(tmp_path, sampler)
    if sampler == "random":  # a random search has as many trials as the request says
        bench = Bench(tmp_path, search_targets=("tome",), trials=5)
    other, observer = Storage(bench.storage.url), Reports()

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        bench.measured.append(setting)
        if trial == 1:  # now this process is suspended for longer than the grace period
            with pytest.MonkeyPatch.context() as patch:
                now = worker.now()
                patch.setattr(worker, "now", lambda: now + GRACE_S + 1)
                assert log_of(other.study(bench.study.study_name)).fail_dead_trials() == 1
            if broken:
                raise RuntimeError("the device is lost")
        yield measurement(setting)

    bench.measure = measure  # type: ignore[method-assign]
    trials = bench.search(observer=observer)
    assert [report for report in observer.ended if report[0] == 1] == [(1, "FAIL", LOST)]
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL] == [1]
    assert trials[1].user_attrs["cut_off"] is True
    complete = [setting_of(trial) for trial in trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == len(set(complete)) >= 4
    assert bench.measured.count(bench.measured[1]) == 2
    assert bench.measured[1] in complete
    assert sampler != "random" or len(complete) == 5
    assert other.optuna.beats(range(99)) == {}
