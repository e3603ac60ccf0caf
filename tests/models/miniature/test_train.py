"""Retraining the miniature: every stage runs, and what comes out loads and draws."""

import sys
from pathlib import Path

import pytest

import tuner
from tests.helpers.pipelines import generators
from tuner.metrics.clip import ClipScore
from tuner.models.miniature import train

STEPS = ("vae", "scorer", "fine", "text", "unet")


@pytest.mark.slow
def test_one_command_makes_a_pipeline_and_a_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [f"--{stage}-steps=2" for stage in STEPS]
    work, out = tmp_path / "work", tmp_path / "out"
    command = ["train", f"--work={work}", f"--out={out}", "--pictures=40", *flags]
    monkeypatch.setattr(sys, "argv", command)
    train.main()
    pipeline = tuner.load("miniature", device="cpu", source=str(out / "pipeline"))
    caption = "a red circle left of a blue ring on a white ground"
    (image,) = pipeline(caption, num_inference_steps=2, generator=generators(1)).images
    clip = ClipScore(device="cpu", model=f"local-dir:{out / 'scorer'}", pretrained="")
    (score,) = clip.score([image], [caption])
    assert -100 <= score <= 100
