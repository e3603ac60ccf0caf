"""Faults over running studies: nothing is lost, stored twice or left running."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.postgres import missing

ROOT = Path(__file__).parent.parent.parent.parent
FEW = ("--trials", "12", "--workers", "2", "--table", "deepcache-DDIM-20")
postgres = pytest.param(
    "postgresql", marks=pytest.mark.skipif(missing() is not None, reason=str(missing()))
)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", postgres])
@pytest.mark.parametrize(
    "fault",
    [
        ("kill", "--faults", "10"),
        ("freeze", "--faults", "2", "--grace", "3"),
        ("outage", "--faults", "1", "--outage", "5"),
    ],
    ids=lambda fault: fault[0],
)
def test_no_fault_loses_a_trial_or_leaves_one_running(
    fault: tuple[str, ...], database: str
) -> None:
    if fault[0] == "outage" and database == "sqlite":
        pytest.skip("a file has no server that could be stopped")
    command = [sys.executable, "-m", "bench.fleet.kills", "--database", database, *FEW]
    printed = subprocess.run(
        [*command, "--fault", *fault], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert printed.returncode == 0, printed.stderr
    row = re.search(rf"^\| {database} \| (.*) \|$", printed.stdout, re.MULTILINE)
    assert row is not None, printed.stdout
    _, _, witnessed, lost, double, running, wrong, _ = map(int, row[1].split(" | "))
    assert witnessed > 0
    assert (lost, double, running, wrong) == (0, 0, 0, 0)
