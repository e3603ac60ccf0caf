"""Which running trials are dead, and what happens to them."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import text

from tuner.storage import worker
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.recovery import GRACE_S, Liveness
from tuner.storage.worker import WORKER, Worker, _start_of, clock

HERE = socket.gethostname()
GONE = f"{HERE}:999999999/1"
ELSEWHERE = "elsewhere:1/1 another-boot pid:[1]"


class Clock:
    """Stands for `tuner.storage.worker.now`: a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker, "now", clock)
    return clock


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'tuner.db'}")


@pytest.fixture
def study(storage: Storage) -> optuna.Study:
    return storage.open_study("a/b/1", {"batch": 4})


def begin(study: optuna.Study, worker: str) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_int("knob", 0, 3)
    trial.set_user_attr(WORKER, worker)
    return trial


def set_heartbeat(storage: Storage, trial: optuna.Trial, at: float, which: str | None) -> None:
    """Replace the heartbeat of a trial: at this time of this clock."""
    with storage.engine.begin() as connection:
        query = text("UPDATE tuner_heartbeats SET clock = :clock, at = :at WHERE trial = :trial")
        connection.execute(query, {"clock": which, "at": at, "trial": trial._trial_id})


def test_only_trials_whose_process_is_gone_are_dead_at_once(
    storage: Storage, study: optuna.Study
) -> None:
    me = Worker.me()
    boot, namespace = me.place.split()
    gone = f"{HERE}:999999999/1"
    workers = {
        "mine": str(me),
        "of an earlier version": f"{HERE}:{me.pid}/{int(psutil.Process().create_time())}",
        "of an earlier version, gone": gone,
        "of an earlier version, with a reused process number": f"{HERE}:{me.pid}/1",
        "gone": f"{gone} {me.place}",
        "with a reused process number": f"{HERE}:{me.pid}/1 {me.place}",
        "on another host": f"elsewhere:999999999/1 {me.place}",
        "on a host of this name": f"{gone} another-boot {namespace}",
        "in another container": f"{gone} {boot} pid:[1]",
        "of an earlier version, on another host": "elsewhere:1/1",
    }
    numbers = {name: begin(study, worker).number for name, worker in workers.items()}
    assert log_of(study).fail_dead_trials() == 4
    dead = {name for name, number in numbers.items() if study.trials[number].state.is_finished()}
    assert dead == {name for name in workers if "gone" in name or "reused" in name}
    assert len(study.get_trials(states=(TrialState.WAITING,))) == 4
    assert log_of(study).fail_dead_trials() == 0


def test_a_zombie_process_counts_as_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        worker = Worker(
            host=HERE,
            pid=process.pid,
            start=_start_of(process.pid) or "",
            place=Worker.me().place,
        )
        assert Worker.named(str(worker)) == worker
        assert worker.runs
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert worker.runs is False


@pytest.mark.parametrize("at", [-1e9, 0.0, 1e9])
def test_a_trial_of_another_host_is_dead_after_the_grace_period_without_a_heartbeat(
    at: float, storage: Storage, study: optuna.Study, now: Clock
) -> None:
    """The clock of the other machine is not trusted."""
    trial = begin(study, ELSEWHERE)
    for beat in range(3):
        set_heartbeat(storage, trial, at + beat, "another-boot time:[1]")
        assert log_of(study).fail_dead_trials() == 0
        now.now += GRACE_S - 1
        assert log_of(study).fail_dead_trials() == 0
    now.now += 2
    assert log_of(study).fail_dead_trials() == 1
    dead = study.trials[trial.number]
    assert dead.state == TrialState.FAIL
    assert dead.user_attrs["reason"] == f"no heartbeat of its process for {GRACE_S + 1:.0f} s"
    assert study.ask().suggest_int("knob", 0, 3) == dead.params["knob"]


def test_with_a_shared_clock_the_time_of_the_last_heartbeat_decides(
    storage: Storage, study: optuna.Study, now: Clock
) -> None:
    trial = begin(study, ELSEWHERE)
    set_heartbeat(storage, trial, now.now - GRACE_S + 1, clock())
    assert log_of(study).fail_dead_trials() == 0
    set_heartbeat(storage, trial, now.now - GRACE_S - 1, clock())
    assert log_of(study).fail_dead_trials() == 1


def test_a_trial_without_worker_and_heartbeat_is_dead_after_the_grace_period(
    storage: Storage, study: optuna.Study, now: Clock
) -> None:
    study.enqueue_trial({"knob": 2})
    dead = study.ask()
    with storage.engine.begin() as connection:
        for table in ("trial_user_attributes", "tuner_heartbeats"):
            connection.execute(text(f"DELETE FROM {table}"))
    assert log_of(study).fail_dead_trials() == 0
    now.now += GRACE_S + 1
    assert log_of(study).fail_dead_trials() == 1
    assert study.trials[dead.number].state == TrialState.FAIL
    assert study.ask().suggest_int("knob", 0, 3) == 2


@pytest.mark.parametrize("queued", [False, True])
def test_a_trial_names_its_worker_from_the_start_and_writes_heartbeats(
    queued: bool, storage: Storage, study: optuna.Study, now: Clock
) -> None:
    if queued:
        study.enqueue_trial({"knob": 2})
    trial = study.ask()
    assert study.trials[0].user_attrs == {WORKER: str(Worker.me())}
    assert study.trials[0].datetime_start is not None
    for _ in range(3):
        now.now += GRACE_S - 1
        storage.optuna.beat()
        assert log_of(study).fail_dead_trials() == 0
    study.tell(trial, (1.0, 0.0))
    assert storage.optuna.beats([trial._trial_id]) == {}


def test_a_trial_that_writes_a_heartbeat_or_ends_in_time_is_not_marked_as_failed(
    storage: Storage, study: optuna.Study, now: Clock
) -> None:
    trials = [study.ask() for _ in range(2)]
    now.now += GRACE_S + 1
    running = log_of(study).running()
    assert [trial.is_dead for trial in running] == [True, True]
    storage.optuna.beat()
    study.tell(trials[1], (1.0, 0.0))
    assert not any(Liveness(storage.optuna)._fail(study, trial) for trial in running)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.RUNNING, TrialState.COMPLETE]
    assert [trial.user_attrs.keys() for trial in study.trials] == [{WORKER}, {WORKER}]


def test_a_worker_cannot_end_a_trial_that_was_marked_as_failed(
    storage: Storage, study: optuna.Study, now: Clock
) -> None:
    trial = study.ask()
    trial.suggest_int("knob", 0, 3)
    now.now += GRACE_S + 1
    other = Storage(storage.url)
    assert log_of(other.study("a/b/1")).fail_dead_trials() == 1
    storage.optuna.beat()
    with pytest.raises(UpdateFinishedTrialError):
        storage.optuna.check()
    with pytest.raises(UpdateFinishedTrialError):
        storage.optuna.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0, 0.0])
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.WAITING]


def test_a_dead_trial_has_three_tries_with_the_same_values(
    storage: Storage, study: optuna.Study
) -> None:
    values = []
    for _ in range(3):
        values.append(begin(study, GONE).params)
        log_of(study).fail_dead_trials()
    assert values == [values[0]] * 3
    assert study.get_trials(states=(TrialState.WAITING,)) == []
