"""Runs in separate processes: killed, interrupted, suspended, and waiting for each other."""

import os
import re
import signal
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.cli.event_schema import events_of
from tests.runs.study import (
    HELD,
    HELD_VERIFICATION,
    STOPPED_ELSEWHERE,
    TRIPLE,
    Count,
    baselines,
    finished,
    run_until_signal,
    spec,
    started,
    trials,
)
from tuner.measure.lock import device_lock
from tuner.search.runner.trial import LOST
from tuner.session import Session
from tuner.storage import recovery as liveness
from tuner.storage.optuna_names import POINT

STOPPING = "tuner: stopping, at the latest after this batch; press Ctrl-C again to stop at once"
INTERRUPTED = "tuner: interrupted; run the same command again to continue"


def test_a_killed_run_continues_and_tries_its_dead_trial_again(
    folder: Path, session: Session, calls: list[range]
) -> None:
    stored = baselines(folder)
    assert run_until_signal(signal.SIGKILL, 1, "--trials", "50") == -signal.SIGKILL
    before = trials(folder)
    dead = [trial for trial in before if trial.state == TrialState.RUNNING]
    assert len(dead) == 1
    done = len([trial for trial in before if trial.state.is_finished()])
    assert done == 4
    # The dead trial is tried again after those that are queued already.
    more = 1 + len([trial for trial in before if trial.state == TrialState.WAITING])
    session.run(spec(folder, trials=done + more))
    after = trials(folder)
    assert after[dead[0].number].state == TrialState.FAIL
    assert "process ended" in after[dead[0].number].user_attrs["reason"]
    assert not [trial for trial in after if trial.state == TrialState.RUNNING]
    retries = [trial for trial in after[dead[0].number + 1 :] if trial.params == dead[0].params]
    assert [trial.state for trial in retries] == [TrialState.COMPLETE]
    assert len(finished(folder)) == 1 + done + more  # the dead trial does not count
    assert baselines(folder) == stored
    assert [trial.values for trial in after[:3]] == [trial.values for trial in before[:3]]


def test_a_run_waits_for_another_on_the_same_device(folder: Path) -> None:
    with device_lock("cpu", pytest.fail):
        process = started(folder, "--trials", "3", "--device", "cpu")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0].startswith("results are stored in sqlite:///tuner.db")
        assert lines[1].startswith(TRIPLE)
        assert lines[2].startswith(f"waiting for cpu: process {os.getpid()} (")
        assert process.poll() is None
    printed, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "Pareto front" in printed


@pytest.mark.parametrize(
    "sign", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_prints_what_is_known_and_how_to_continue_and_continues(
    sign: signal.Signals, folder: Path, session: Session
) -> None:
    stored = baselines(folder)
    process = started(folder, "--trials", "50", program=("-c", HELD))
    assert process.stdout is not None
    assert "a trial has begun\n" in process.stdout
    process.send_signal(sign)
    printed, errors = process.communicate("go on\n", timeout=600)
    assert process.returncode == 130, printed + errors
    assert errors.splitlines() == [STOPPING, INTERRUPTED]
    assert f"{TRIPLE}: interrupted after 3 of 50 trials\nfastest setting with" in printed
    assert "verified: " in printed
    before = trials(folder)
    assert not [trial for trial in before if trial.state == TrialState.RUNNING]
    done = len([trial for trial in before if trial.state.is_finished()])
    session.run(spec(folder, trials=done))  # the interrupted trial does not count
    assert len(finished(folder)) == done + 1
    assert baselines(folder) == stored


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once_and_leaves_no_running_trial(folder: Path) -> None:
    process = started(folder, "--trials", "50", program=("-c", HELD))
    assert process.stdout is not None
    assert "a trial has begun\n" in process.stdout
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == f"{STOPPING}\n"  # the trial goes on: it waits for a line
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130  # without that line
    assert process.stderr.readline() == f"{INTERRUPTED}\n"
    assert "interrupted after 3 of 50 trials" in process.stdout.read()
    process.communicate()
    assert not [trial for trial in trials(folder) if trial.state == TrialState.RUNNING]


@pytest.mark.slow
def test_a_run_that_is_interrupted_in_its_verification_says_that_nothing_is_verified_yet(
    tmp_path: Path,
) -> None:
    process = started(tmp_path, "--trials", "1", "--json", program=("-c", HELD_VERIFICATION))
    assert process.stderr is not None
    assert "the verification has begun\n" in process.stderr
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == f"{STOPPING}\n"
    printed, errors = process.communicate("go on\n", timeout=600)
    assert process.returncode == 130, printed + errors
    assert "this setting is not verified yet" in errors
    last = events_of(printed)[-1]
    assert (last["event"], last["outcome"]) == ("finished", "interrupted")
    assert last["best"]["verified"] is None


@pytest.mark.slow
def test_a_point_of_a_suspended_run_on_another_host_has_one_complete_trial(
    folder: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = {"deepcache": {"cache_interval": (2, 3), "cache_branch_id": (0,)}}
    Path("two.toml").write_text(
        'search_targets = "deepcache"\n[knobs.deepcache]\ncache_interval = [2, 3]\n'
        "cache_branch_id = [0]\n"
    )
    flags = ("two.toml", "--sampler", "grid")
    (folder / "locks").mkdir()  # of the other host
    process = started(
        folder, *flags, program=("-c", STOPPED_ELSEWHERE), TMPDIR=str(folder / "locks")
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), process.communicate()
    monkeypatch.setattr(liveness, "GRACE_S", 3.0)
    observer = Count()
    two = {"sampler": "grid", "trials": None, "search_targets": ("deepcache",), "knobs": knobs}
    session.run(spec(folder, **two), observer)
    process.send_signal(signal.SIGCONT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, printed + errors
    assert re.findall(r"^trial +\d+ .*?: (.*)", printed, re.MULTILINE) == [LOST]
    all_trials = trials(folder, f"{TRIPLE} grid")
    assert [trial.state for trial in all_trials].count(TrialState.FAIL) == 1
    complete = [trial for trial in all_trials if trial.state == TrialState.COMPLETE]
    assert sorted(trial.system_attrs[POINT] for trial in complete) == [0, 1]
