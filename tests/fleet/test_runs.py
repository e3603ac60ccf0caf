"""Several workers on the miniature: `--workers`, `--scheduler` and `tuner worker`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tuner.measure.device import own_cores
from tuner.storage.database import Storage

ROOT = Path(__file__).parent.parent.parent
STUDY = ["--pipe", "miniature", "--steps", "4", "--num-samples", "4", "--batch-size", "2"]
STUDY += ["--max-samples", "4", "--resolution", "32", "--sampler", "random"]
STUDY += ["--req-score-loss", "0.99", "--no-reference", "--device", "cpu"]
TRIPLE = "miniature/DDIM/4"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(own_cores()) < 2, reason="two workers need two cores"),
]


class Commands:
    """Starts commands in a folder, each in a process group of its own as a terminal does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def tuner(self, *arguments: str) -> subprocess.Popen[str]:
        return self(str(ROOT / "cli.py"), *arguments)

    @property
    def study(self) -> optuna.Study:
        return Storage(f"sqlite:///{self.folder / 'tuner.db'}").study(TRIPLE)

    def wait_for_trials(self, least: int) -> None:
        """Wait until so many trials have ended."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if (self.folder / "tuner.db").exists():
                names = Storage(f"sqlite:///{self.folder / 'tuner.db'}").study_names()
                if TRIPLE in names and len(ended(self.study)) >= least:
                    return
            time.sleep(0.2)
        pytest.fail("no trial has ended")


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    started = Commands(tmp_path)
    yield started
    for process in started.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def output(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=500)
    return text


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that count towards the study's number."""
    return [
        trial
        for trial in study.trials
        if trial.state.is_finished() and "cut_off" not in trial.user_attrs
    ]


def workers_of(trials: Sequence[optuna.trial.FrozenTrial]) -> Counter[str]:
    return Counter(trial.user_attrs["worker"] for trial in trials)


def test_two_workers_search_one_study_and_one_of_them_ends_it(commands: Commands) -> None:
    run = commands.tuner("run", *STUDY, "--trials", "9", "--workers", "2")
    lines = output(run)
    assert run.returncode == 0, lines
    assert len(ended(commands.study)) == 9
    assert len(workers_of(ended(commands.study))) == 2
    assert lines.count("verification on ") == len(commands.study.user_attrs["verified"])
    assert "fastest setting with" in lines
    again = commands.tuner("run", *STUDY, "--trials", "9", "--workers", "2")
    assert "verification on " not in output(again)
    assert len(ended(commands.study)) == 9


def test_ctrl_c_gives_all_trials_back_and_the_same_command_continues(commands: Commands) -> None:
    run = commands.tuner("run", *STUDY, "--trials", "40", "--workers", "2")
    commands.wait_for_trials(2)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the whole process group
    lines = output(run)
    assert run.returncode == 130, lines
    assert "interrupted after" in lines
    assert not commands.study.get_trials(states=(TrialState.RUNNING,))
    done = len(ended(commands.study))
    assert done < 40
    resumed = commands.tuner("run", *STUDY, "--trials", str(done + 3), "--workers", "2")
    lines = output(resumed)
    assert resumed.returncode == 0, lines
    assert len(ended(commands.study)) == done + 3


def test_a_worker_that_is_killed_is_replaced(commands: Commands) -> None:
    run = commands.tuner("run", *STUDY, "--trials", "16", "--workers", "2")
    commands.wait_for_trials(2)
    (running,) = commands.study.get_trials(states=(TrialState.RUNNING,))[:1]
    killed = running.user_attrs["worker"]
    pid = int(killed.partition(":")[2].partition("/")[0])
    os.kill(pid, signal.SIGKILL)
    lines = output(run)
    assert run.returncode == 0, lines
    assert f"its process {pid} ended with signal 9" in lines
    assert len(ended(commands.study)) == 16
    # The killed one may have had no time to end a trial.
    assert len({killed, *workers_of(ended(commands.study))}) == 3


def test_workers_of_a_cluster_join_later_are_replaced_and_stopped(commands: Commands) -> None:
    file = commands.folder / "scheduler.json"
    commands("-m", "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(file),
             "--no-dashboard", "--host", "127.0.0.1")  # fmt: skip
    dask_worker = ["-m", "distributed.cli.dask_worker", "--scheduler-file", str(file)]
    dask_worker += ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
    end = time.monotonic() + 120
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]
    run = commands.tuner("run", *STUDY, "--trials", "60", "--scheduler", address)
    first = commands(*dask_worker)
    commands.wait_for_trials(1)
    first.send_signal(signal.SIGTERM)  # as Slurm does at the end of a job
    second = commands(*dask_worker)
    before = len(ended(commands.study))
    commands.wait_for_trials(before + 2)
    run.send_signal(signal.SIGINT)
    lines = output(run)
    assert run.returncode == 130, lines
    assert "waiting for a worker to join the Dask cluster" in lines
    assert "is gone" in lines
    assert second.poll() is None  # the cluster is not the run's
    assert not commands.study.get_trials(states=(TrialState.RUNNING,))


def test_sigterm_ends_a_worker_and_another_one_finishes_the_study(commands: Commands) -> None:
    first = commands.tuner("worker", *STUDY, "--trials", "8")
    commands.wait_for_trials(1)
    first.send_signal(signal.SIGTERM)
    lines = output(first)
    assert first.returncode == 130, lines
    assert "was stopped after" in lines
    assert not commands.study.get_trials(states=(TrialState.RUNNING,))
    second = commands.tuner("worker", *STUDY, "--trials", "8")
    lines = output(second)
    assert second.returncode == 0, lines
    assert f"{TRIPLE} is done: fastest setting with" in lines
    assert " is done: 1 study, " in lines.splitlines()[-1]
    assert len(ended(commands.study)) == 8
