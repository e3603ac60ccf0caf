"""A run's account has every picture that it generates, and all of its time."""

import gc
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.runs.study import TRIPLE, Count, finished, spec
from tuner import study_costs
from tuner.cli.main import main
from tuner.errors import TrialError
from tuner.measure import setting_procedure
from tuner.measure.account import Purpose
from tuner.measure.evaluation import Evaluation
from tuner.search.runner.alone import ENDING, alone
from tuner.search.runner.run import Search
from tuner.session import Session
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.recovery import Liveness
from tuner.study.costs import read_costs


@pytest.mark.parametrize("sampler", ["random", "frontier"])
def test_every_picture_and_second_is_accounted_for(
    sampler: str,
    tmp_path: Path,
    session: Session,
    calls: list[range],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = time.monotonic()
    session.run(spec(tmp_path, trials=3, sampler=sampler, search_targets=("deepcache",)))
    wall_s = time.monotonic() - start
    storage = f"sqlite:///{tmp_path / 'tuner.db'}"
    costs = read_costs(Storage(storage, create=False).study(TRIPLE))
    assert sum(costs.total.pictures.values()) == sum(map(len, calls))
    assert costs.total.pictures[Purpose.VERIFICATION] > 0
    assert 0.5 * wall_s < costs.total.seconds[Purpose.REST] <= 1.01 * wall_s  # a simulated clock
    assert main(["show", "--cost", "--storage", storage]) == 0
    shown = capsys.readouterr().out
    assert "cost by purpose" in shown and "cost by trial" in shown
    assert "of the pictures generated after the baseline" in shown


@pytest.mark.parametrize("error", [TrialError("out of memory"), KeyboardInterrupt()])
def test_what_a_trial_cost_that_failed_in_its_first_batch_is_shown_with_it(
    error: BaseException,
    tmp_path: Path,
    session: Session,
    calls: list[range],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second Ctrl-C is raised there, too."""

    checked, errors = setting_procedure.checked, iter([error])

    def fail_once(output: Any) -> Any:
        for raised in errors:
            time.sleep(1.5)
            raise raised
        return checked(output)

    monkeypatch.setattr(setting_procedure, "checked", fail_once)
    with suppress(KeyboardInterrupt):
        session.run(spec(tmp_path, trials=2, search_targets=("deepcache",)))
    assert finished(tmp_path)[0].state == TrialState.FAIL
    storage = Storage(f"sqlite:///{tmp_path / 'tuner.db'}", create=False)
    costs = read_costs(storage.study(TRIPLE))
    assert costs.trials[0].pictures[Purpose.SCORED] == 2
    assert costs.trials[0].seconds[Purpose.SCORING] >= 1.5
    assert sum(costs.total.pictures.values()) == sum(map(len, calls))


def killed_at(batch: int, counted: Path, run: Callable[[], object]) -> bool:
    """Run in a fork that is killed before its `batch`-th batch; whether it was.

    The number of its pictures is added to a file.
    """
    gc.collect()  # closes databases that are no longer used: none may be open in both
    process = os.fork()
    if not process:
        code = 99
        try:
            signal.alarm(600)  # no test may hang
            generate, begun = Evaluation.generate, itertools.count(1)

            def counts(self: Evaluation, call: Any, numbers: range, *options: Any) -> Any:
                if next(begun) == batch:
                    time.sleep(0.5)  # for what is stored regularly
                    os.kill(os.getpid(), signal.SIGKILL)
                pictures = generate(self, call, numbers, *options)
                counted.write_text(str(int(counted.read_text()) + len(numbers)))
                return pictures

            Evaluation.generate = counts  # type: ignore[method-assign]
            run()
            code = 0
        finally:
            os._exit(code)  # never return into the tests
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_a_kill_loses_no_picture_of_the_account_whatever_the_run_does(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same study is killed again and again, each time some batches later."""
    monkeypatch.setattr(study_costs, "EVERY_S", 0.05)
    options = {"sampler": "frontier", "aim": "front", "reference": True, "steps": 8}
    request = spec(tmp_path, trials=3, search_targets=("deepcache",), **options)
    counted = tmp_path / "pictures"
    counted.write_text("0")
    kills = 0
    while killed_at(2 + 2 * kills, counted, lambda: session.run(request)):
        kills += 1
    assert kills >= 4
    study = Storage(request.storage, create=False).study("miniature/DDIM/8")
    assert sum(read_costs(study).total.pictures.values()) == int(counted.read_text())


def test_a_run_that_is_killed_before_its_first_picture_has_costs(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """The baseline is that of a study which was deleted."""
    request = spec(tmp_path, trials=1)
    session.run(request)
    optuna.delete_study(study_name=TRIPLE, storage=request.storage)
    counted = tmp_path / "pictures"
    counted.write_text("0")
    assert killed_at(1, counted, lambda: session.run(request))
    assert main(["show", "--cost", "--storage", request.storage]) == 0
    assert "cost by purpose" in capsys.readouterr().out


def test_what_a_trial_cost_that_another_run_marked_as_failed_is_in_the_account(
    tmp_path: Path, session: Session, calls: list[range]
) -> None:
    request = spec(tmp_path, trials=2, search_targets=("deepcache",))

    class FailsTheFirst(Count):
        def trial_went_on(self, number: int, measured: Any) -> None:
            if number == 0:
                storage = Storage(request.storage)
                (running,) = log_of(storage.study(TRIPLE)).running()
                silent = replace(running, silent_s=500.0)
                assert Liveness(storage.optuna)._fail(storage.study(TRIPLE), silent)

    session.run(request, FailsTheFirst())
    study = Storage(request.storage, create=False).study(TRIPLE)
    assert study.trials[0].state == TrialState.FAIL
    assert sum(read_costs(study).total.pictures.values()) == sum(map(len, calls))


def test_a_copied_trial_has_no_cost_of_its_own(
    tmp_path: Path,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = spec(tmp_path, trials=1, search_targets=("deepcache",), sampler="random")
    session.run(request)
    source = finished(tmp_path)[0]
    monkeypatch.setattr(Search, "_measured_before", lambda self, setting: source)
    session.run(replace(request, trials=2))
    copy = finished(tmp_path)[1]
    assert copy.user_attrs["same_as"] == 0
    assert "cost" not in copy.user_attrs
    capsys.readouterr()
    assert main(["show", "--trial", "1", "--json", "--storage", request.storage]) == 0
    assert json.loads(capsys.readouterr().out)["cost"] is None


@contextmanager
def ended_by_another_run(storage: str, released: threading.Event) -> Iterator[None]:
    """In a ``with`` block another run ends the study, until the event is set or the block ends."""
    held = threading.Event()

    def hold() -> None:
        with alone(Storage(storage).study(TRIPLE), ENDING):
            held.set()
            released.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(60)
    try:
        yield
    finally:
        released.set()
        other.join()


def test_waiting_for_another_run_is_a_purpose_and_not_outside_the_pipeline(
    tmp_path: Path, session: Session
) -> None:
    request = spec(tmp_path, trials=1, search_targets=("deepcache",))
    session.run(request)
    storage = Storage(request.storage)
    before = read_costs(storage.study(TRIPLE))
    released = threading.Event()

    class Releases(Count):
        """Lets the other run end what this one waits for, a second after it began to wait."""

        def notice(self, line: str) -> None:
            super().notice(line)
            if line.startswith("waiting for "):
                threading.Timer(1.0, released.set).start()

    observer = Releases()
    with ended_by_another_run(request.storage, released):
        session.run(spec(tmp_path, trials=2, search_targets=("deepcache",)), observer)
    costs = read_costs(storage.study(TRIPLE))
    assert any("verifies the best setting" in line for line in observer.lines)
    assert Purpose.WAITING not in before.total.seconds
    waited_s = costs.total.seconds[Purpose.WAITING]
    assert waited_s >= 1.0
    total = costs.total
    outside_s = total.seconds[Purpose.SCORING] + total.seconds[Purpose.REST]
    rest_s = total.total_s - waited_s - total.seconds[Purpose.LOADING]
    assert costs.outside_share == pytest.approx(outside_s / rest_s)


def test_ctrl_c_ends_a_wait_that_is_in_the_account(tmp_path: Path, session: Session) -> None:
    request = spec(tmp_path, trials=1, search_targets=("deepcache",))
    session.run(request)

    class Interrupts(Count):
        """Presses Ctrl-C a second after the run began to wait."""

        def notice(self, line: str) -> None:
            super().notice(line)
            if line.startswith("waiting for "):
                threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            ended_by_another_run(request.storage, threading.Event()),
            pytest.raises(KeyboardInterrupt),
        ):
            session.run(spec(tmp_path, trials=2, search_targets=("deepcache",)), Interrupts())
    finally:
        signal.signal(signal.SIGINT, before)
    costs = read_costs(Storage(request.storage).study(TRIPLE))
    assert costs.total.seconds[Purpose.WAITING] >= 1.0
