"""The study that the tests of runs run, ways to run it, and what they read of its database."""

import gc
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Never

import optuna

from tuner.cli.main import main
from tuner.measure.evaluation import Evaluation, Measurement
from tuner.search.runner.observer import Observer
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage

ROOT = Path(__file__).parent.parent.parent
TRIPLE = "miniature/DDIM/4"
# With any weights, some setting is feasible under a limit of 99%.
FLAGS = ["run", "--pipe", "miniature", "--steps", "4", "--num-samples", "4", "--batch-size", "2"]
FLAGS += ["--sampler", "random", "--req-score-loss", "0.99", "--max-samples", "4"]
FLAGS += ["--resolution", "32", "--no-reference"]


def spec(folder: Path, **changes: Any) -> StudySpec:
    """The study of `FLAGS`."""
    values: dict[str, Any] = {
        "pipe": "miniature",
        "steps": 4,
        "num_samples": 4,
        "max_samples": 4,
        "batch_size": 2,
        "trials": 3,
        "sampler": "random",
        "req_score_loss": 0.99,
        "resolution": 32,
        "reference": False,
        "storage": f"sqlite:///{folder / 'tuner.db'}",
    }
    return StudySpec(**values | changes)


def trials(folder: Path, name: str = TRIPLE) -> list[optuna.trial.FrozenTrial]:
    return Storage(f"sqlite:///{folder / 'tuner.db'}", create=False).study(name).trials


def finished(folder: Path, name: str = TRIPLE) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials(folder, name) if trial.state.is_finished()]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """The rows of an SQL query."""
    with closing(sqlite3.connect(f"file:{folder / 'tuner.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def baselines(folder: Path) -> list[tuple[str, str, str]]:
    """Kind, key and time of every baseline: a re-measured one has another time."""
    return rows(folder, "SELECT kind, key, created FROM tuner_baselines ORDER BY created")  # type: ignore[return-value]


# A run that pretends to be on another host, and is suspended when its first trial is measured.
STOPPED_ELSEWHERE = """
import os, signal, socket, sys
from tuner.cli.main import main
from tuner.measure.evaluation import Evaluation

socket.gethostname = lambda: "elsewhere"
measure = Evaluation.measure

def stop(*args, **options):
    Evaluation.measure = measure
    os.kill(os.getpid(), signal.SIGSTOP)
    return measure(*args, **options)

Evaluation.measure = stop
sys.exit(main())
"""


# The command, where each trial waits for a line from the test before it goes on.
HELD = """
import sys
from tuner.cli.main import main
from tuner.measure.evaluation import Evaluation
measure = Evaluation.measure
def held(*args, **options):
    print("a trial has begun", flush=True)
    sys.stdin.readline()
    yield from measure(*args, **options)
Evaluation.measure = held
sys.exit(main(sys.argv[1:]))
"""


# The command, where the verification waits for a line from the test.
HELD_VERIFICATION = """
import sys
from tuner.cli.main import main
from tuner.study_ending import StudyEnding
measure_again = StudyEnding._measure_again
def held(*args, **options):
    print("the verification has begun", file=sys.stderr, flush=True)
    sys.stdin.readline()
    yield from measure_again(*args, **options)
StudyEnding._measure_again = held
sys.exit(main(sys.argv[1:]))
"""


def started(
    folder: Path, *more: str, program: Sequence[str] = (str(ROOT / "cli.py"),), **changes: str
) -> subprocess.Popen[str]:
    """Start `tuner run` with `FLAGS` and more in a process; `changes` are environment variables."""
    # A shell starts its background jobs, and so all of their children, with Ctrl-C switched off.
    return subprocess.Popen(
        [sys.executable, *program, *FLAGS, "--pictures", "none", *more],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # One thread, as conftest.py has it.
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes,
    )


def run_until_signal(sign: signal.Signals, after: int, *more: str) -> int:
    """Run `tuner run` in a fork that is sent a signal in the trial after `after` others.

    Returns the exit code. A fork is used because it has imported everything already.
    """
    gc.collect()  # closes databases that are no longer used: none may be open in both
    process = os.fork()
    if not process:
        _run_and_signal(sign, after, *more)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _run_and_signal(sign: signal.Signals, after: int, *more: str) -> Never:
    code = 99
    try:
        signal.alarm(600)  # no test may hang
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        sys.stdout = sys.stderr = os.fdopen(nowhere, "w")
        measure, begun = Evaluation.measure, itertools.count()

        def measured(*args: Any, **options: Any) -> Iterator[Measurement]:
            if next(begun) == after:
                signal.raise_signal(sign)
            yield from measure(*args, **options)

        Evaluation.measure = measured  # type: ignore[method-assign]
        code = main([*FLAGS, "--pictures", "none", *more])
    finally:
        os._exit(code)  # never return into the tests


class Count(Observer):
    """Counts the trials that begin, and collects the notices."""

    began = 0

    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)

    def trial_began(self, number: int, setting: Setting) -> None:
        self.began += 1
