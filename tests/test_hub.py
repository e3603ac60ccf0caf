"""A hub that breaks off: one clear line, and the next start downloads what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.hub import NAME, hub

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "tuner/models/miniature/weights/pipeline"
LOAD = """
import sys, tuner
from tuner.errors import UsageError
try:
    print(type(tuner.load(sys.argv[1])).__name__)
except UsageError as error:
    print(error)
"""


@pytest.mark.slow
def test_after_a_hub_broke_off_in_a_file_a_line_says_so_and_the_next_start_succeeds(
    tmp_path: Path,
) -> None:
    with hub(WEIGHTS) as server:
        changes = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | changes

        def load() -> str:
            command = [sys.executable, "-c", LOAD, NAME]
            ended = subprocess.run(command, env=environment, capture_output=True, text=True)
            return ended.stdout.strip()

        server.halves = True
        broken = load()
        server.halves = False
        assert load() == "StableDiffusionPipeline"
    assert broken.startswith(f"cannot load '{NAME}': peer closed connection")
    assert "connect to the hub" in broken
    assert "\n" not in broken
