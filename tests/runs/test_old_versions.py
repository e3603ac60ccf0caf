"""A database and a `search_params.json` of version 0.1 are read, continued and applied.

Both were made by version 0.1.0 on 2026-11-27, with `tuner run --pipe miniature --steps 4
--num-samples 4 --batch-size 2 --resolution 32 --trials 5 --search-targets deepcache,tome
--req-score-loss 0.5 --metrics ssim --device cpu`, and `tuner export`.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch

import tuner
from tests.runs.study import finished
from tuner.cli.main import main
from tuner.loading import load
from tuner.measure.device import describe

VERSION = Path(__file__).parent.parent / "data" / "version-0.1"
NAME = "miniature/DDIM/4"
FLAGS = ["run", "--pipe", "miniature", "--steps", "4", "--num-samples", "4", "--batch-size", "2"]
FLAGS += ["--resolution", "32", "--search-targets", "deepcache,tome", "--req-score-loss", "0.5"]
FLAGS += ["--metrics", "ssim", "--pictures", "none", "--device", "cpu"]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the old run, as if its database had been made on this machine's processor."""
    shutil.copytree(VERSION, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("tuner.db")) as connection:
        (stored,) = connection.execute(
            "SELECT value_json FROM study_user_attributes WHERE key = 'evaluation'"
        ).fetchone()
        evaluation = json.loads(stored) | {"device": describe("cpu")["device"]}
        connection.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'evaluation'",
            [json.dumps(evaluation)],
        )
        connection.commit()
    return tmp_path


def test_an_old_database_is_shown_and_exported_as_it_was(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show"]) == 0
    shown = capsys.readouterr().out
    assert "deepcache 2/0, 1.53×" in shown and "1.47×, loss 34.55%, ssim 0.441, 16 prompts" in shown
    before = json.loads((old / "search_params.json").read_text())["studies"][NAME]
    assert main(["export"]) == 0
    after = json.loads((old / "search_params.json").read_text())["studies"][NAME]
    # These are exported since.
    before["baseline"]["latency_key"] = after["baseline"]["latency_key"]
    before["evaluation"]["device_type"] = "cpu"
    assert after == before


def test_an_old_database_is_continued(old: Path) -> None:
    before = {trial.number: trial.user_attrs for trial in finished(old, NAME)}
    assert main([*FLAGS, "--trials", "6"]) == 0
    after = {trial.number: trial.user_attrs for trial in finished(old, NAME)}
    assert len(after) > len(before)
    assert {number: after[number] for number in before} == before


def test_an_old_search_params_is_applied(old: Path) -> None:
    pipe = load("miniature")
    prompt, options = "a red circle", {"num_inference_steps": 4, "height": 32, "width": 32}

    def picture(generate: object) -> torch.Tensor:
        assert callable(generate)
        rng = torch.Generator().manual_seed(0)
        images: torch.Tensor = generate(
            prompt, guidance_scale=3.0, generator=rng, output_type="pt", **options
        ).images
        return images

    plain = picture(pipe)
    with tuner.applied(pipe, old / "search_params.json") as generate:
        accelerated = picture(generate)
    setting = {"deepcache": {"cache_interval": 2, "cache_branch_id": 0}}
    with tuner.applied(pipe, setting) as generate:
        assert torch.equal(picture(generate), accelerated)
    assert not torch.equal(plain, accelerated)
    assert torch.equal(picture(pipe), plain)
