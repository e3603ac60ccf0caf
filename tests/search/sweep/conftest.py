"""A sweep of a small product, for several test files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench
from tests.search.sweep.small import SMALL
from tuner.search.sweep import grid as module
from tuner.search.sweep.grid import Grid, OptunasGrid


@pytest.fixture(params=["Optuna's", "ours"])
def small(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """A study of a small product, with Optuna's grid sampler and with ours for large products."""
    if request.param == "ours":
        monkeypatch.setattr(module, "FEW", 0)
    bench = Bench(tmp_path, **SMALL)
    assert isinstance(bench.study.sampler, OptunasGrid if request.param == "Optuna's" else Grid)
    yield bench
