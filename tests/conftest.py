"""Fixtures of every test: one thread, no randomness, and none of the user's own settings."""

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

# Set before torch is imported, also for the processes that tests start: on a busy machine, several
# threads that wait for one another are twenty times slower than one. No model hub is contacted.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import pytest
import torch
from hypothesis import settings

from tests.helpers.postgres import PostgreSQL, missing

torch.set_num_threads(1)  # a plugin may have imported torch before
# The same examples each time, without a deadline: how long one takes depends on the machine's load.
settings.register_profile("tuner", deadline=None, derandomize=True, database=None)
settings.load_profile("tuner")

TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "TTY_COMPATIBLE")


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use folders of the tests' own, and no terminal settings of the user.

    So tests neither wait for a run of the user nor block it, and read no database in the folder
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
    """Exclude imported objects from garbage collections: each is a third of a second faster."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def postgres_server(isolated: None) -> Iterator[PostgreSQL]:
    """A PostgreSQL server, for tests that do not stop it."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with PostgreSQL(("fsync=off",)) as server:
        yield server


class Clock:
    """Stands for `time` where batches are timed: each reading takes a second, and only that."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1
        return self.now

    thread_time = perf_counter


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that does not depend on the machine's load; a test may advance it."""
    clock = Clock()
    monkeypatch.setattr("tuner.measure.stopwatch.time", clock)
    return clock


@contextmanager
def timed_by_work() -> Iterator[None]:
    """Time batches by what they compute, which does not depend on the machine's load.

    A hundred million output values of linear layers and convolutions count as a second.
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
            clock = SimpleNamespace(perf_counter=lambda: now, thread_time=lambda: now)
            patch.setattr("tuner.measure.stopwatch.time", clock)
            yield
    finally:
        hook.remove()
