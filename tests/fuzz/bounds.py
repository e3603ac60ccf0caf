"""What every reader must do with every input: answer, in bounded time and memory.

A reader answers with a value, or with the tuner's own error in one line. Time is that of the
process, so that a busy machine is no failure; memory is the rise of its peak.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tuner.errors import TunerError

LIMIT_S = 2.0  # of the process's time
MOST_MIB = 500
PROCESS = Path("/proc/self")
Input = TypeVar("Input")

# A few inputs in each run of the tests, many in the slow ones.
INPUTS = pytest.mark.parametrize(
    "inputs", [pytest.param(50), pytest.param(10_000, marks=pytest.mark.slow)]
)


class Hang(BaseException):
    """An input took longer than `LIMIT_S`; no reader may catch it."""


def fuzz(inputs: int, strategy: st.SearchStrategy[Input], read: Callable[[Input], Any]) -> None:
    """Give that many inputs to a reader.

    Raises:
        BaseException: what a reader raised beside a `TunerError` of one line; with its input.
    """

    @settings(
        max_examples=inputs,
        phases=(Phase.generate,),  # a failing input is small enough as it is
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @seed(0)
    @given(strategy)
    def run(value: Input) -> None:
        answer(read, value)

    run()


def answer(read: Callable[[Input], Any], value: Input) -> Any:
    """What a reader answers: its value, or its error's text; within the bounds.

    An input that takes too long is given once more: on a busy machine even computing stands still.
    """
    try:
        return _answer(read, value)
    except Hang:
        pass
    try:
        return _answer(read, value)
    except Hang as hang:
        raise AssertionError(str(hang)) from hang  # which Hypothesis reports with its input


def _answer(read: Callable[[Input], Any], value: Input) -> Any:
    with bounded():
        try:
            return read(value)
        except TunerError as error:
            text = str(error)
            assert text and "\n" not in text.rstrip("\n"), text
            return text


@contextmanager
def bounded() -> Iterator[None]:
    """Raise `Hang` in a block that computes for too long; fail where it takes too much memory."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGPROF, hang)
    (PROCESS / "clear_refs").write_text("5")  # starts the peak again at what is used now
    used = _mib("VmRSS")
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    rise = _mib("VmHWM") - used
    assert rise < MOST_MIB, f"{rise:.0f} MiB more than before"


def _mib(name: str) -> float:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
