"""What every test needs: one thread, no rng, and nothing of its user's own settings."""

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

# Before torch is imported, and for the processes that tests start: threads that wait for one
# another beside a busy neighbour are twenty times slower than one. And no hub is asked.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # a plugin may have imported it before
# The same examples each time; how long one takes says more about the neighbours than of the code.
settings.register_profile("tuner", deadline=None, derandomize=True, database=None)
settings.load_profile("tuner")

TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "TTY_COMPATIBLE")


@pytest.fixture(scope="session", autouse=True)
def own_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Folders of the tests' own, and no wishes for a terminal.

    So tests neither wait for a run beside them nor stop it, and no database is read that lies
    where they were started.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)
        for name in TERMINAL:
            patch.delenv(name, raising=False)
        patch.chdir(tmp_path_factory.mktemp("empty"))
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> Iterator[None]:
    """What was imported stays: to look through all of it takes a third of a second each time."""
    gc.freeze()
    yield
    gc.unfreeze()


class Clock:
    """Stands for `time` where batches are timed: a look at it takes a second, and nothing else."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Seconds that are the same however busy the machine is; a test may let some more pass."""
    clock = Clock()
    monkeypatch.setattr("tuner.measure.stopwatch.time", clock)
    return clock


@contextmanager
def timed_by_work() -> Iterator[None]:
    """Batches take as long as they compute, and no longer on a busy machine.

    A hundred million numbers that come out of linear layers and convolutions take a second.
    """
    layers = (torch.nn.Linear, torch.nn.Conv2d)
    now = 0.0

    def computed(module: torch.nn.Module, args: Any, output: Any) -> None:
        nonlocal now
        if isinstance(module, layers):
            now += output.numel() / 1e8

    hook = torch.nn.modules.module.register_module_forward_hook(computed)
    try:
        with pytest.MonkeyPatch.context() as patch:
            clock = SimpleNamespace(perf_counter=lambda: now)
            patch.setattr("tuner.measure.stopwatch.time", clock)
            yield
    finally:
        hook.remove()
