"""The command line on a GPU, from the first trial to the exported file."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from tests.gpu.pipelines import DEVICE
from tests.runs.study import FLAGS, TRIPLE, finished
from tuner.cli import main as cli
from tuner.measure.lock import lock_files
from tuner.storage.database import Storage

pytestmark = pytest.mark.gpu


def query_driver(figure: str) -> str:
    """A figure of the first GPU, from nvidia-smi."""
    command = ["nvidia-smi", f"--query-gpu={figure}", "--format=csv,noheader", "--id=0"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_miniature_is_tuned_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--search-targets", "deepcache,tome,tgate", "--device", "cuda", "--trials", "6"]
    assert cli.main([*FLAGS, *flags, "--pictures", "none"]) == 0
    assert cli.main(["export", "-o", "exported.json"]) == 0
    measured = [trial for trial in finished(tmp_path) if trial.state == TrialState.COMPLETE]
    assert len(measured) >= 4
    assert all(trial.user_attrs["memory_gib"] > 0.01 for trial in measured)
    parts = Storage(f"sqlite:///{tmp_path / 'tuner.db'}").study(TRIPLE).user_attrs["baseline_parts"]
    assert parts["device"] == torch.cuda.get_device_name(DEVICE) == query_driver("name")
    assert parts["driver"] == query_driver("driver_version")
    assert parts["cuda"] == torch.version.cuda
    study = json.loads((tmp_path / "exported.json").read_text())["studies"][TRIPLE]
    assert study["best"]["memory_gib"] > 0.01
    uuid = query_driver("uuid").removeprefix("GPU-")
    assert lock_files("cuda")[0].name == f"cuda-{uuid}.lock"
    assert lock_files("cuda")[0].exists()
