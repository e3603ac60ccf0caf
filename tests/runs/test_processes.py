"""Runs in processes of their own: killed, interrupted, and one that waits for another."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.runs.study import FLAGS, TRIPLE, baselines, finished, rows, spec, trials
from tuner.measure.lock import device_lock
from tuner.session import Session

ROOT = Path(__file__).parent.parent.parent


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    # A shell starts its background jobs, and so all of their children, with Ctrl-C switched off.
    return subprocess.Popen(
        [sys.executable, ROOT / "cli.py", *FLAGS, "--pictures", "none", *more],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},  # as conftest.py has it
    )


def wait_for_a_running_trial(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    """Until a trial runs in a database that has `count` finished ones."""
    begun = "SELECT trial_id FROM trial_user_attributes WHERE key = 'combination'"
    query = f"SELECT state FROM trials WHERE trial_id IN ({begun})"
    limit = time.monotonic() + 300
    while time.monotonic() < limit and process.poll() is None:
        try:
            states = [state for (state,) in rows(folder, query)]
        except sqlite3.OperationalError:  # no file yet, or no table
            states = []
        if "RUNNING" in states and len(states) > count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no trial was seen at work: {process.communicate(timeout=5)}")


def test_a_killed_run_continues_and_tries_its_dead_trial_again(
    folder: Path, session: Session, calls: list[range]
) -> None:
    kept = baselines(folder)
    process = started(folder, "--trials", "50")
    wait_for_a_running_trial(folder, process, 3)
    process.kill()
    process.wait()
    left = trials(folder)
    dead = [one for one in left if one.state == TrialState.RUNNING]
    assert len(dead) == 1
    done = len([one for one in left if one.state.is_finished()])
    session.run(spec(folder, trials=done + 12))
    after = trials(folder)
    assert after[dead[0].number].state == TrialState.FAIL
    assert "process ended" in after[dead[0].number].user_attrs["reason"]
    assert not [one for one in after if one.state == TrialState.RUNNING]
    again = [one for one in after[dead[0].number + 1 :] if one.params == dead[0].params]
    assert [one.state for one in again] == [TrialState.COMPLETE]
    assert len(finished(folder)) == done + 12
    assert baselines(folder) == kept
    assert [one.values for one in after[:3]] == [one.values for one in left[:3]]


def test_a_run_waits_for_another_on_the_same_device(folder: Path) -> None:
    with device_lock("cpu", pytest.fail):
        process = started(folder, "--trials", "3", "--device", "cpu")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[0].startswith(TRIPLE)
        assert lines[1].startswith(f"waiting for cpu: process {os.getpid()} (")
        assert process.poll() is None
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Pareto front" in printed


def test_an_interrupted_run_says_how_to_go_on_and_does(folder: Path, session: Session) -> None:
    kept = baselines(folder)
    process = started(folder, "--trials", "50")
    wait_for_a_running_trial(folder, process, 3)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 130, printed + errors
    assert re.fullmatch(r"tuner: interrupted; the same command continues\n", errors)
    left = trials(folder)
    assert not [one for one in left if one.state == TrialState.RUNNING]
    done = len([one for one in left if one.state.is_finished()])
    session.run(spec(folder, trials=done + 1))
    assert len(finished(folder)) == done + 1
    assert baselines(folder) == kept
