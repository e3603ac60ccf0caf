"""Which study of a sweep each worker gets."""

import os
import socket
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.fleet.plan import Sweep
from tuner.fleet import assignment
from tuner.fleet.assignment import assigned, workers_on
from tuner.spec import StudySpec
from tuner.storage.claims import Claims

FIRST, SECOND = "miniature/DDIM/20", "miniature/UniPC/20"
THIRD, FOURTH = "miniature/DDIM/50", "miniature/UniPC/50"


class Broken(sqlite3.OperationalError):
    """What SQLite reports of a disk that does not answer."""

    sqlite_errorname = "SQLITE_IOERR"


Studies = Generator[StudySpec, None, None]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that would wait fails its test."""

    def refuse(seconds: float) -> None:
        raise AssertionError("a worker waits")

    monkeypatch.setattr(assignment, "sleep", refuse)


def worker(sweep: Sweep, lines: list[str] | None = None) -> Studies:
    """The studies of one worker; others see it as a process of its own."""
    notice = (lambda line: None) if lines is None else lines.append
    return assigned(sweep.specs, sweep.storage, notice)


def triples(studies: Studies) -> list[str]:
    return [spec.triple for spec in studies]


def test_one_worker_runs_every_study_once_and_fewer_steps_first(sweep: Sweep) -> None:
    assert triples(worker(sweep)) == [FIRST, SECOND, THIRD, FOURTH]
    assert workers_on(sweep.specs, sweep.storage) == []


def test_a_complete_study_is_passed_over(sweep: Sweep) -> None:
    sweep.complete(FIRST)
    sweep.complete(THIRD)
    passed: list[Any] = []
    studies = assigned(sweep.specs, sweep.storage, on_complete=lambda *each: passed.append(each))
    assert triples(studies) == [SECOND, FOURTH]
    assert passed == [(FIRST, 10), (THIRD, 10)]


def test_two_workers_never_have_the_same_study_while_others_are_left(sweep: Sweep) -> None:
    sweep.begin(FIRST, trials=5)  # the others can start warm
    one, two = worker(sweep), worker(sweep)
    assert [next(one).triple, next(two).triple] == [FIRST, SECOND]
    assert next(one).triple == THIRD
    assert len(workers_on(sweep.specs, sweep.storage)) == 2
    two.close()
    assert next(one).triple == SECOND  # its worker has given it back


def test_a_worker_joins_the_first_study_of_a_model_until_others_can_start_warm(
    sweep: Sweep,
) -> None:
    one = worker(sweep)
    assert next(one).triple == FIRST
    sweep.begin(FIRST, trials=2)
    lines: list[str] = []
    two = worker(sweep, lines)
    assert next(two).triple == FIRST
    assert lines == [f"joining {FIRST}, which another worker has begun"]
    sweep.begin(FIRST, trials=3)
    assert next(two).triple == SECOND


def test_of_two_workers_that_look_at_the_same_moment_only_one_begins_cold(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = worker(sweep), worker(sweep)
    take, started = Claims.take, []

    def take_second(claims: Claims, name: str) -> bool:
        """The other worker takes the study between this one's look and its claim."""
        if not started:
            started.append(one)
            next(one)
        return take(claims, name)

    monkeypatch.setattr(Claims, "take", take_second)
    assert next(two).triple == FIRST  # which it joins; the second study can start warm later
    assert len(workers_on(sweep.specs, sweep.storage)) == 1


def test_with_a_target_a_study_is_joined_once_three_trials_of_it_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(tmp_path, "--sched", "DDIM", "--steps", "20", "--req-speedup", "2")
    one, two = worker(sweep), worker(sweep)
    assert next(one).triple == FIRST
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        sweep.begin(FIRST, trials=1)

    monkeypatch.setattr(assignment, "sleep", pause)
    assert next(two).triple == FIRST
    assert len(waits) == 3


def test_studies_that_cannot_start_warm_are_divided_at_once(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "--no-transfer")
    one, two = worker(sweep), worker(sweep)
    assert [next(one).triple, next(two).triple] == [FIRST, SECOND]


def test_workers_spread_over_models(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "--pipe", "SD1.5,SD2.1,SDXL", "--no-transfer")
    workers = [worker(sweep) for _ in range(3)]
    assert [next(each).pipe for each in workers] == ["SD1.5", "SD2.1", "SDXL"]
    assert next(workers[0]).triple == "SD1.5/UniPC/20"  # its model is loaded


def test_when_no_study_is_left_a_worker_joins_the_one_with_most_to_do(sweep: Sweep) -> None:
    for triple, trials in ((FIRST, 5), (SECOND, 5), (THIRD, 5), (FOURTH, 9)):
        sweep.begin(triple, trials)
    others = [worker(sweep) for _ in range(4)]
    assert sorted(next(other).triple for other in others) == sorted([FIRST, SECOND, THIRD, FOURTH])
    late = worker(sweep)
    assert [next(late).triple for _ in range(4)] == [THIRD, FIRST, SECOND, FOURTH]


def test_a_study_that_another_worker_finishes_is_waited_for(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    for triple in (FIRST, SECOND, THIRD):
        sweep.complete(triple)
    sweep.begin(FOURTH, trials=10)
    one, lines = worker(sweep), list[str]()
    assert next(one).triple == FOURTH
    sleeps = after(2, lambda: sweep.complete(FOURTH))
    monkeypatch.setattr(assignment, "sleep", sleeps)
    assert triples(worker(sweep, lines)) == []
    assert [line.rpartition(", which ")[0] for line in lines] == [f"waiting for {FOURTH}"]
    assert lines[0].endswith(f"process {os.getpid()} on {socket.gethostname()} is searching")


def test_the_study_of_a_worker_that_died_is_taken_over(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    for triple in (FIRST, SECOND, THIRD):
        sweep.complete(triple)
    sweep.begin(FOURTH, trials=10)
    one = worker(sweep)
    assert next(one).triple == FOURTH
    monkeypatch.setattr(assignment, "sleep", after(2, lambda: kill(sweep)))
    assert triples(worker(sweep)) == [FOURTH]


def kill(sweep: Sweep) -> None:
    """Make every worker look like a process of this machine that is gone."""
    with sweep.storage.engine.begin() as connection:
        rows = connection.execute(text("SELECT worker FROM tuner_claims")).scalars().all()
        for name in rows:
            host, _, rest = name.partition(":")
            gone = f"{host}:999999999/{rest.partition('/')[2]}"
            values = {"gone": gone, "name": name}
            connection.execute(
                text("UPDATE tuner_claims SET worker = :gone WHERE worker = :name"), values
            )


def after(calls: int, then: Callable[[], None]) -> Callable[[float], None]:
    """A `sleep` that takes no time, and does something at a call."""
    begun = iter(range(calls + 5))

    def sleep(seconds: float) -> None:
        if next(begun) == calls:
            then()

    return sleep


def test_a_worker_waits_for_a_database_that_does_not_answer_for_a_moment(sweep: Sweep) -> None:
    engine = sweep.storage.optuna.engine
    execute, failures = engine.dialect.do_execute, iter([True])

    def fail_once(*arguments: Any, **options: Any) -> None:
        if next(failures, False):
            raise Broken("disk I/O error")
        execute(*arguments, **options)

    engine.dialect.do_execute = fail_once  # type: ignore[method-assign]
    studies = worker(sweep)
    assert next(studies).triple == FIRST
    assert next(failures, None) is None
    studies.close()
