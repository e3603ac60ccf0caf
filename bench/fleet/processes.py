"""Processes that work on a simulated study: a parent that keeps its workers alive, and both die.

They are forked, so that the start of one takes milliseconds: many of them are killed. The process
that starts them must have no thread and no open database.
"""

import json
import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.trial import TrialState

from bench.fleet.simulated import SimulatedStudy, witnessed
from bench.lib.truth_table import TruthTable
from tuner.search.runner import other_runs
from tuner.storage import beating, recovery
from tuner.storage.log import log_of
from tuner.storage.retries import CUT_OFF
from tuner.study.schema import SAME_AS, SETTING

FORK = get_context("fork")
POLL_S = 0.05
GAVE_UP = 3  # exit code of a worker that ended with an error


@dataclass(frozen=True, kw_only=True)
class Times:
    """The seconds between heartbeats, and after which a trial without one is dead."""

    beat_s: float
    grace_s: float

    def apply(self) -> None:
        """Set them in this process."""
        for module in (beating, other_runs):
            module.BEAT_S = self.beat_s  # type: ignore[attr-defined]
        recovery.GRACE_S = self.grace_s


@dataclass(kw_only=True)
class Fleet:
    """A parent process with its workers, on one study; `pids` is the file where all sign up."""

    study: SimulatedStudy
    workers: int
    times: Times
    pids: Path
    log: Path  # what the workers print
    parents: list[Any] = field(default_factory=list)

    def start(self) -> None:
        """Start a parent with its workers; those of an earlier one that was killed go on."""
        parent = FORK.Process(target=self._supervise)
        parent.start()
        self.parents.append(parent)

    def keep(self) -> bool:
        """Start a new parent where the last one was killed; whether the study is still searched."""
        parent = self.parents[-1]
        if parent.exitcode is not None and parent.exitcode != 0:
            self.start()
        return parent.exitcode != 0 or bool(self.alive())

    def alive(self) -> list[psutil.Process]:
        """The workers and parents that run, or are suspended."""
        found = []
        numbers = self.pids.read_text().split() if self.pids.exists() else []
        for number in numbers:
            try:
                process = psutil.Process(int(number))
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def end(self) -> None:
        """Kill what is left of it."""
        for process in self.alive():
            process.kill()
        for parent in self.parents:
            parent.join()

    def _supervise(self) -> None:
        self._sign_up()
        workers = [self._worker() for _ in range(self.workers)]
        while any(worker.exitcode != 0 for worker in workers):
            time.sleep(POLL_S)
            workers = [w if w.exitcode in (None, 0) else self._worker() for w in workers]
        os._exit(0)

    def _worker(self) -> Any:
        worker = FORK.Process(target=self._work)
        worker.start()
        return worker

    def _work(self) -> None:
        self._sign_up()
        with self.log.open("a") as log:
            sys.stdout = sys.stderr = log
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self.times.apply()
            try:
                self.study.run()
                code = 0
            except Exception as error:  # the bench counts them
                print(f"ended: {type(error).__name__}: {error}")
                code = GAVE_UP
        os._exit(code)

    def _sign_up(self) -> None:
        with self.pids.open("a") as file:
            file.write(f"{os.getpid()}\n")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of the trials of one or more studies."""

    ended: int  # complete trials that the witness saw
    lost: int  # of these, which the database does not have as complete with the same values
    double: int  # complete trials that measured what another one had measured, or ended twice
    running: int  # trials that are still running when no process is
    wrong: int  # studies with another number of trials than asked for
    taken_over: int  # trials of a suspended or dead process that another one marked as failed
    studies: int = 1

    def __add__(self, other: "Verdict") -> "Verdict":
        mine, others = vars(self), vars(other)
        return Verdict(**{name: mine[name] + others[name] for name in mine})


def verdict_on(study: SimulatedStudy) -> Verdict:
    """Compare a database with what its witness saw; in a process of its own."""
    verdict: Verdict = in_child(lambda: _verdict_on(study))
    return verdict


def _verdict_on(study: SimulatedStudy) -> Verdict:
    assert study.witness is not None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened = study.open()
    log_of(opened).fail_dead_trials()  # as the next start does
    trials = {trial.number: trial for trial in opened.get_trials(deepcopy=False)}
    seen = [line for line in witnessed(study.witness) if line["values"] is not None]
    complete = [t for t in trials.values() if t.state == TrialState.COMPLETE]
    measured = Counter(
        json.dumps(trial.user_attrs[SETTING], sort_keys=True)
        for trial in complete
        if SAME_AS not in trial.user_attrs
    )
    numbers = Counter(line["trial"] for line in seen)
    counted = sum(
        trial.state.is_finished()
        and not (trial.state == TrialState.FAIL and CUT_OFF in trial.user_attrs)
        for trial in trials.values()
    )
    return Verdict(
        ended=len(seen),
        lost=sum(trials[line["trial"]].values != line["values"] for line in seen),
        double=sum(count - 1 for count in (*measured.values(), *numbers.values())),
        running=sum(trial.state == TrialState.RUNNING for trial in trials.values()),
        wrong=int(counted != study.trials),
        taken_over=sum(CUT_OFF in trial.user_attrs for trial in trials.values()),
    )


def in_child(function: Callable[[], Any]) -> Any:
    """What a function returns in a forked process, which leaves no open database behind."""
    return in_children([function])[0]


def in_children(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """What functions return in processes that run at the same time."""
    children = []
    for function in functions:
        receiver, sender = FORK.Pipe(duplex=False)
        child = FORK.Process(target=_send, args=(sender, function))
        child.start()
        sender.close()
        children.append((child, receiver))
    results = [receiver.recv() for _, receiver in children]
    for child, _ in children:
        child.join()
    return results


def _send(sender: Any, function: Callable[[], Any]) -> None:
    sender.send(function())


def table_of_another_process(name: str) -> TruthTable:
    """A truth table without torch in this process, which is to fork: torch has threads."""
    code = (
        "import pickle, sys; from bench.fleet.simulated import truth_table; "
        "from bench.lib.miniature import quiet; quiet(); "
        "sys.stdout.buffer.write(pickle.dumps(truth_table(sys.argv[1])))"
    )
    dumped = subprocess.run([sys.executable, "-c", code, name], stdout=subprocess.PIPE, check=True)
    truth: TruthTable = pickle.loads(dumped.stdout)
    return truth
