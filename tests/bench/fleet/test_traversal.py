"""A small sweep that is stopped twice, as `bench.fleet.traversal` runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_sweep_that_is_stopped_twice_ends_with_one_complete_file_and_a_table_of_costs(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "bench.fleet.traversal", "--small"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "search_params.json: 4 studies, missing: 0" in ended.stdout
    found = re.search(r"sweep / cold: (\S+) of the device seconds", ended.stdout)
    assert found is not None and float(found[1]) > 0
