"""Runs in processes of their own: killed, interrupted, and one that waits for another."""

import os
import re
import signal
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.runs.study import (
    TRIPLE,
    baselines,
    cut_off,
    finished,
    spec,
    started,
    trials,
)
from tuner.measure.lock import device_lock
from tuner.session import Session


def test_a_killed_run_continues_and_tries_its_dead_trial_again(
    folder: Path, session: Session, calls: list[range]
) -> None:
    kept = baselines(folder)
    assert cut_off(signal.SIGKILL, 1, "--trials", "50") == -signal.SIGKILL
    left = trials(folder)
    dead = [one for one in left if one.state == TrialState.RUNNING]
    assert len(dead) == 1
    done = len([one for one in left if one.state.is_finished()])
    assert done == 4
    # What was cut off is tried again after those that are queued already.
    more = 1 + len([one for one in left if one.state == TrialState.WAITING])
    session.run(spec(folder, trials=done + more))
    after = trials(folder)
    assert after[dead[0].number].state == TrialState.FAIL
    assert "process ended" in after[dead[0].number].user_attrs["reason"]
    assert not [one for one in after if one.state == TrialState.RUNNING]
    again = [one for one in after[dead[0].number + 1 :] if one.params == dead[0].params]
    assert [one.state for one in again] == [TrialState.COMPLETE]
    assert len(finished(folder)) == 1 + done + more  # what was cut off counts for nothing
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
    printed, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "Pareto front" in printed


def test_an_interrupted_run_says_how_to_go_on_and_does(folder: Path, session: Session) -> None:
    kept = baselines(folder)
    process = started(folder, "--trials", "50", held=True)
    assert process.stdout is not None
    assert "a trial has begun\n" in process.stdout
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate("go on\n", timeout=600)
    assert process.returncode == 130, printed + errors
    assert re.fullmatch(r"tuner: interrupted; the same command continues\n", errors)
    left = trials(folder)
    assert not [one for one in left if one.state == TrialState.RUNNING]
    done = len([one for one in left if one.state.is_finished()])
    session.run(spec(folder, trials=done))  # of which one was cut off
    assert len(finished(folder)) == done + 1
    assert baselines(folder) == kept
