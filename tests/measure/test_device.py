"""What is measured of the machine: peak memory, and threads that wait for cores."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from tuner.measure import device as machine
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.spec import StudySpec


def peak_host_gib(size_gib: float) -> float:
    """The peak memory of a block that allocates this much for a moment."""
    gc.collect()  # frees what earlier tests left before the measurement, not during it
    with machine.PeakMeter("cpu") as meter:
        np.ones(int(size_gib * 2**30), np.uint8)
    assert meter.peak.host is not None
    return meter.peak.host


def test_the_host_peak_is_of_the_block_not_of_the_processs_life() -> None:
    before = peak_host_gib(0)
    assert peak_host_gib(0.25) == pytest.approx(before + 0.25, abs=0.05)
    assert peak_host_gib(0) == pytest.approx(before, abs=0.05)


def test_there_is_no_peak_where_the_host_does_not_report_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PROCESS", tmp_path / "no such folder")
    with machine.PeakMeter("cpu") as meter:
        pass
    assert meter.peak == machine.PeakMemory()


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
def test_more_threads_than_idle_cores_give_a_warning(
    threads: int, busy: list[float], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: busy)
    monkeypatch.setattr(machine, "own_cores", lambda: list(range(len(busy))))
    warning = machine.contention("cpu")
    assert (warning is None) == (words is None)
    assert words is None or (warning is not None and words in warning and "\n" not in warning)
    assert machine.contention("cuda:0") is None


def test_only_cores_on_which_this_process_may_run_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [0.0, 100.0, 0.0])
    monkeypatch.setattr(machine, "own_cores", lambda: [0, 2])
    assert machine.contention("cpu") is None
    monkeypatch.setattr(machine, "own_cores", lambda: [0, 1])
    assert machine.contention("cpu") is not None


def test_a_run_reports_the_contention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notices: list[str] = []
    observer = Observer()
    monkeypatch.setattr(observer, "notice", notices.append)
    monkeypatch.setattr("tuner.session.contention", lambda device: f"{device} is crowded")

    class ReachedError(Exception):
        """Ends the run where the evaluation would be loaded."""

    def reached(*_: Any, **__: Any) -> None:
        raise ReachedError

    monkeypatch.setattr(Session, "evaluation", reached)
    with pytest.raises(ReachedError):
        Session().run(StudySpec(storage=f"sqlite:///{tmp_path / 'tuner.db'}"), observer)
    assert "cpu is crowded" in notices
