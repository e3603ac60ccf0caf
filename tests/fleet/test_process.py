"""The process of a worker: it runs a function in its main thread until it ends or is stopped."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from tuner.errors import UsageError
from tuner.fleet.child import FAILED, INTERRUPTED, RESULT, Request, Send
from tuner.fleet.place import Place
from tuner.fleet.process import DIED, Ended, WorkerProcess
from tuner.measure.device import own_cores

Start = Callable[[Callable[[int, Send], Any]], WorkerProcess]


def request(work: Callable[[int, Send], Any], place: Place | None = None) -> Request:
    return Request(
        place=place or Place(), number=3, folder=str(Path.cwd()), function=cloudpickle.dumps(work)
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes that do not outlive the test."""
    started = []

    def begin(work: Callable[[int, Send], Any]) -> WorkerProcess:
        started.append(WorkerProcess(request(work)))
        return started[-1]

    yield begin
    for process in started:
        process.stop()


def end_of(process: WorkerProcess, on_message: Callable[[Any], None] = print) -> Ended:
    return process.wait(on_message)


def test_it_sends_messages_and_the_result(start: Start) -> None:
    def work(number: int, send: Send) -> tuple[int, bool]:
        send({"line": "hello"})
        print("what libraries print is no message")
        return number, threading.current_thread() is threading.main_thread()

    messages: list[Any] = []
    assert end_of(start(work), messages.append) == Ended(kind=RESULT, content=(3, True))
    assert messages == [{"line": "hello"}]


def test_an_error_is_one_line(start: Start) -> None:
    def refuse(number: int, send: Send) -> None:
        raise UsageError("no such model")

    def crash(number: int, send: Send) -> None:
        raise ValueError("first line\nsecond line")

    assert end_of(start(refuse)) == Ended(kind=FAILED, content="no such model")
    assert end_of(start(crash)) == Ended(kind=FAILED, content="ValueError: first line second line")


def test_it_is_interrupted_as_by_ctrl_c_when_it_is_told_to_stop(start: Start) -> None:
    def work(number: int, send: Send) -> None:
        try:
            send("begun")
            time.sleep(60)
        finally:
            send("given back")

    process, messages = start(work), []

    def on_message(message: str) -> None:
        messages.append(message)
        if message == "begun":
            process.stop()

    assert end_of(process, on_message) == Ended(kind=INTERRUPTED, content=None)
    assert messages == ["begun", "given back"]


def test_sigterm_interrupts_it_too_and_a_kill_is_reported(start: Start) -> None:
    def work(number: int, send: Send) -> None:
        send(os.getpid())
        time.sleep(60)

    assert end_of(start(work), lambda pid: os.kill(pid, signal.SIGTERM)).kind == INTERRUPTED
    died = end_of(start(work), lambda pid: os.kill(pid, signal.SIGKILL))
    assert died.kind == DIED
    assert "ended with signal 9" in died.content


def test_it_ends_when_the_process_that_started_it_is_gone(tmp_path: Path) -> None:
    def work(number: int, send: Send) -> None:
        try:
            (tmp_path / "pid").write_text(str(os.getpid()))
            time.sleep(60)
        finally:
            (tmp_path / "ended").touch()

    starter = os.fork()
    if starter == 0:
        process = WorkerProcess(request(work))  # closed when it is garbage
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        os._exit(0 if process else 1)
    os.waitpid(starter, 0)
    deadline = time.monotonic() + 20
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_it_runs_on_its_cores_only() -> None:
    def work(number: int, send: Send) -> tuple[set[int], str]:
        return os.sched_getaffinity(0), os.environ["OMP_NUM_THREADS"]

    core = own_cores()[-1]
    process = WorkerProcess(request(work, Place(cores=(core,))))
    assert end_of(process).content == ({core}, "1")


def test_a_process_that_died_is_noticed_although_one_that_it_forked_goes_on(start: Start) -> None:
    def work(number: int, send: Send) -> None:
        if os.fork() == 0:
            time.sleep(20)
        os._exit(3)

    began = time.monotonic()
    ended = end_of(start(work))
    assert (ended.kind, str(ended.content)[-11:]) == (DIED, "exit code 3")
    assert time.monotonic() < began + 15
