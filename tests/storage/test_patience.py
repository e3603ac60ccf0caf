"""A database that does not answer: a run waits, stores nothing twice, and gives up in time."""

import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from tests.helpers.postgres import PostgreSQL, missing
from tests.helpers.simulated import Bench
from tuner.errors import DatabaseGoneError
from tuner.search.runner.interrupt import Interruptible
from tuner.storage import patience
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.optuna_names import FIXED

needs_postgres = pytest.mark.skipif(missing() is not None, reason=str(missing()))


class Broken(sqlite3.OperationalError):
    """What SQLite reports of a disk that does not answer."""

    sqlite_errorname = "SQLITE_IOERR"


@pytest.fixture
def lines() -> list[str]:
    """What is printed about the database."""
    return []


@pytest.fixture
def study(tmp_path: Path, lines: list[str]) -> optuna.Study:
    """A study of a run, which waits for its database."""
    bench = Bench(tmp_path)
    bench.storage.patience.begin(lines.append)
    return bench.study


@contextmanager
def unconfirmed(engine: Engine) -> Iterator[list[int]]:
    """Each first commit is stored, but the program does not learn that; yields the commits."""
    commit, commits = engine.dialect.do_commit, [0]

    def stored_but_unconfirmed(connection: Any) -> None:
        commit(connection)
        commits[0] += 1
        if commits[0] == 1:
            raise Broken("disk I/O error")

    engine.dialect.do_commit = stored_but_unconfirmed  # type: ignore[method-assign]
    try:
        yield commits
    finally:
        del engine.dialect.do_commit


def begin_new(study: optuna.Study) -> None:
    assert log_of(study).running() == []
    study.ask()


def begin_queued(study: optuna.Study) -> None:
    study.ask()


def queue_one(study: optuna.Study) -> None:
    study.add_trial(create_trial(state=TrialState.WAITING, system_attrs={FIXED: {"a": 1}}))


@pytest.mark.parametrize(
    ("action", "queued", "states"),
    [
        (begin_new, 0, [TrialState.RUNNING]),
        (begin_queued, 1, [TrialState.RUNNING]),
        (queue_one, 0, [TrialState.WAITING]),
    ],
)
def test_what_was_stored_without_being_confirmed_is_not_stored_again(
    action: Callable[[optuna.Study], None],
    queued: int,
    states: list[TrialState],
    study: optuna.Study,
) -> None:
    for _ in range(queued):
        queue_one(study)
    with unconfirmed(log_of(study).key[0].engine) as commits:
        action(study)
    assert commits[0] >= 1
    assert [trial.state for trial in study.get_trials()] == states
    assert len(log_of(study).key[0].beats([1])) == states.count(TrialState.RUNNING)


def test_a_trial_whose_end_was_not_confirmed_has_ended_once_with_its_retry(
    study: optuna.Study,
) -> None:
    log = log_of(study)
    trial = study.ask()
    log.queue_at_end(trial, create_trial(state=TrialState.WAITING, system_attrs={FIXED: {"a": 1}}))
    with unconfirmed(log.key[0].engine):
        study.tell(trial, state=TrialState.FAIL)
    assert [trial.state for trial in study.get_trials()] == [TrialState.FAIL, TrialState.WAITING]
    assert not log.is_lost(trial)


def test_a_run_gives_up_with_one_line_that_names_the_database_and_the_reason(
    study: optuna.Study, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WAIT_S", 0.3)
    monkeypatch.setattr(patience, "FIRST_LINE_S", 0.0)

    def fail() -> None:
        raise OperationalError("SELECT 1", {}, Broken("disk I/O error"))

    waiting = log_of(study).key[0].patience
    with pytest.raises(DatabaseGoneError, match=r"sqlite:.*tuner\.db has not answered for 0 s"):
        waiting.run(fail)
    assert "the database does not answer (disk I/O error); waiting (0 s" in lines[0]
    before = len(lines)
    with pytest.raises(DatabaseGoneError):  # at once: what ends the run does not wait again
        waiting.run(fail)
    assert len(lines) == before


@pytest.fixture
def ctrl_c_works() -> Iterator[None]:
    """Tests that a shell started in the background would ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_works")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_the_wait_soon_and_the_run_with_the_interruption(
    presses: int, study: optuna.Study, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_LINE_S", 0.0)
    monkeypatch.setattr(patience, "LAST_WAIT_S", 0.2)
    waiting = log_of(study).key[0].patience

    def press(line: str) -> None:
        lines.append(line)
        for _ in range(presses if len(lines) == 1 else 0):
            signal.raise_signal(signal.SIGINT)

    def fail() -> None:
        raise OperationalError("SELECT 1", {}, Broken("disk I/O error"))

    waiting.begin(press)
    with Interruptible(), pytest.raises(KeyboardInterrupt):
        waiting.run(fail)
    before = len(lines)
    with pytest.raises(KeyboardInterrupt):  # what ends the run neither waits nor replaces it
        waiting.run(fail)
    assert len(lines) == before


@pytest.mark.usefixtures("ctrl_c_works")
def test_after_ctrl_c_a_database_that_is_only_busy_is_still_waited_for(study: optuna.Study) -> None:
    errors = iter([OperationalError("SELECT 1", {}, Broken("disk I/O error"))])

    def fail_once() -> bool:
        for error in errors:
            raise error
        return True

    with Interruptible():
        signal.raise_signal(signal.SIGINT)
        assert log_of(study).key[0].patience.run(fail_once)


def test_an_error_that_waiting_does_not_mend_is_raised_at_once(study: optuna.Study) -> None:
    engine = log_of(study).key[0].engine

    def fail() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM nowhere"))

    with pytest.raises(OperationalError, match="no such table"):
        log_of(study).key[0].patience.run(fail)


def test_a_command_that_reads_a_database_does_not_wait_for_it(tmp_path: Path) -> None:
    storage = Bench(tmp_path).storage
    with unconfirmed(storage.engine), pytest.raises(OperationalError):
        storage.put("scores", "k", {}, {})


def test_a_full_disk_is_waited_for_and_no_trial_is_lost(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite reports a full disk where a file may not have more pages."""
    monkeypatch.setattr(patience, "FIRST_LINE_S", 0.0)
    bench = Bench(tmp_path, trials=5)
    bench.storage.patience.begin(lines.append)
    measure = bench.measure
    pages = [0]

    @event.listens_for(bench.storage.optuna.engine, "begin")
    def limit(connection: Any) -> None:
        most = pages[0] or 10**6
        connection.connection.dbapi_connection.execute(f"PRAGMA max_page_count={most}")

    def fill_the_disk(setting: Any, trial: int) -> Any:
        if trial == 2:
            with bench.storage.optuna.engine.connect() as connection:
                pages[0] = connection.execute(text("PRAGMA page_count")).scalar_one()
        return measure(setting, trial)

    def make_room(line: str) -> None:
        lines.append(line)
        pages[0] = 0

    bench.storage.patience.begin(make_room)
    bench.measure = fill_the_disk  # type: ignore[method-assign]
    trials = bench.search()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5
    assert lines[0].startswith("the database does not answer (database or disk is full); waiting")
    assert lines[1].startswith("the database answers again after")


@needs_postgres
@pytest.mark.slow
def test_a_run_goes_on_when_its_server_was_stopped_or_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "FIRST_LINE_S", 0.0)
    with PostgreSQL() as server:
        lines: list[str] = []
        storage = Storage(server.new_database())
        storage.patience.begin(lines.append)
        study = storage.open_study("a/b/1", {"batch": 4})
        for down in (server.stop, server.kill):
            trial = study.ask()
            down()
            thread = Thread(target=study.tell, args=(trial, (1.0, 0.0)))
            thread.start()
            while not lines:
                thread.join(0.05)
            server.start()
            thread.join(60)
            assert "waiting" in lines[0]
            assert lines.pop().startswith("the database answers again after")
            lines.clear()
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


@needs_postgres
@pytest.mark.slow
def test_a_worker_that_vanished_in_a_transaction_holds_no_lock_for_long(
    postgres_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner.storage import database

    quick = ("SET idle_in_transaction_session_timeout = '200ms'",)
    monkeypatch.setitem(database.SETTINGS, "postgresql", quick)
    address = postgres_server.new_database()
    study = Storage(address).open_study("a/b/1", {"batch": 4})
    with Storage(address).engine.connect() as vanished:
        vanished.execute(text("SELECT 1 FROM studies FOR UPDATE"))
        study.tell(study.ask(), (1.0, 0.0))  # waits for the lock of the one that vanished
        vanished.invalidate()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
