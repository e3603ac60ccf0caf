"""What is measured of the machine: peak memory, and threads that wait for cores."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from tuner.measure import device as machine
from tuner.search.runner.run import Observer
from tuner.session import Session
from tuner.spec import StudySpec


def peak_host_gib(size_gib: float) -> float:
    """The peak of a block that needs so much for a moment."""
    gc.collect()  # what the tests before left may go here, but not between two looks
    with machine.PeakMeter("cpu") as meter:
        np.ones(int(size_gib * 2**30), np.uint8)
    assert meter.found.host is not None
    return meter.found.host


def test_the_host_peak_is_of_the_block_not_of_the_processs_life() -> None:
    before = peak_host_gib(0)
    assert peak_host_gib(0.25) == pytest.approx(before + 0.25, abs=0.05)
    assert peak_host_gib(0) == pytest.approx(before, abs=0.05)


def test_where_the_host_does_not_tell_there_is_no_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PROCESS", tmp_path / "no such folder")
    with machine.PeakMeter("cpu") as meter:
        pass
    assert meter.found == machine.PeakMemory()


@pytest.mark.parametrize(
    ("threads", "busy", "words"),
    [
        (2, [100.0, 0.0], "OMP_NUM_THREADS=1"),
        (4, [100.0, 95.0, 3.0, 100.0], "OMP_NUM_THREADS=1"),
        (4, [100.0, 5.0, 3.0, 0.0], "OMP_NUM_THREADS=3"),
        (3, [100.0, 5.0, 3.0, 0.0], None),
        (2, [20.0, 10.0], None),
        (1, [100.0, 100.0], None),
    ],
)
def test_more_threads_than_idle_cores_are_warned_of(
    threads: int, busy: list[float], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: busy)
    monkeypatch.setattr(machine, "_own_cores", lambda: range(len(busy)))
    found = machine.contention("cpu")
    assert (found is None) == (words is None)
    assert words is None or (found is not None and words in found and "\n" not in found)
    assert machine.contention("cuda:0") is None


def test_only_the_cores_that_are_ours_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [0.0, 100.0, 0.0])
    monkeypatch.setattr(machine, "_own_cores", lambda: [0, 2])
    assert machine.contention("cpu") is None
    monkeypatch.setattr(machine, "_own_cores", lambda: [0, 1])
    assert machine.contention("cpu") is not None


def test_a_run_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    watch = Observer()
    monkeypatch.setattr(watch, "notice", said.append)
    monkeypatch.setattr("tuner.session.contention", lambda device: f"{device} is crowded")

    class BegunError(Exception):
        """The run goes on, but not here."""

    def begun(*_: Any, **__: Any) -> None:
        raise BegunError

    monkeypatch.setattr(Session, "evaluation", begun)
    with pytest.raises(BegunError):
        Session().run(StudySpec(storage=f"sqlite:///{tmp_path / 'tuner.db'}"), watch)
    assert "cpu is crowded" in said
