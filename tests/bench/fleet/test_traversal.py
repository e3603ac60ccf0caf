"""A small sweep that is stopped twice, as `bench.fleet.traversal` runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def printed() -> str:
    """What the benchmark prints."""
    command = [sys.executable, "-m", "bench.fleet.traversal", "--small"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_sweep_that_is_stopped_twice_ends_with_one_complete_file(printed: str) -> None:
    assert "search_params.json: 4 studies, missing: 0" in printed


@pytest.mark.xfail(reason="not reached so far: docs/results/fleet.md has the figures")
def test_a_sweep_costs_less_than_the_same_studies_started_cold(printed: str) -> None:
    found = re.search(r"sweep / cold: (\S+) of the device seconds", printed)
    assert found is not None
    assert float(found[1]) < 1
