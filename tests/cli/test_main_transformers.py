"""Transformers from the command line to a pipeline of one's own, with tiny weights in a folder."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from transformers import T5Tokenizer

import tuner
from tests.conftest import timed_by_work
from tests.helpers.pipelines import new, pictures, same
from tuner import registry
from tuner.cli.main import main
from tuner.metrics.clip import ClipScore
from tuner.models.miniature import world

NAMES = {"PixArt-Alpha": "pixart", "PixArt-Sigma": "sigma", "Flux": "flux", "SD3": "sd3"}
CLASSES = {
    "PixArt-Alpha": "PixArtAlphaPipeline",
    "PixArt-Sigma": "PixArtSigmaPipeline",
    "Flux": "FluxPipeline",
    "SD3": "StableDiffusion3Pipeline",
}
each_kind_of_model = pytest.mark.parametrize(  # the others differ from these by their weights
    "name",
    [
        pytest.param(name, marks=[] if name in ("PixArt-Sigma", "SD3") else [pytest.mark.slow])
        for name in NAMES
    ],
)


@pytest.fixture
def folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The model's weights in small; scored like the miniature, because no hub can be reached."""
    new(NAMES[name]).save_pretrained(tmp_path / "weights")
    known = registry.components("models")
    small = known["miniature"]
    changed = replace(
        known[name], prompts=small.prompts, metric_options=small.metric_options, resolution=16
    )
    monkeypatch.setitem(known, name, changed)
    # Pictures of random weights match no caption; a negative baseline score would leave no loss.
    score = ClipScore.score
    monkeypatch.setattr(ClipScore, "score", lambda *args: [100 + value for value in score(*args)])
    with timed_by_work():  # so that the best setting is always the same
        yield tmp_path


@each_kind_of_model
def test_a_study_is_searched_exported_and_applied(name: str, folder: Path) -> None:
    storage = ["--storage", f"sqlite:///{folder / 'tuner.db'}"]
    sched = "FlowMatchEuler" if name in ("Flux", "SD3") else "DPM-Solver++"
    flags = f"--pipe {name} --sched {sched} --steps 4 --num-samples 4 --batch-size 2".split()
    flags += ["--trials", "4", "--req-score-loss", "0.99", "--model", str(folder / "weights")]
    assert main(["run", *flags, *storage]) == 0
    assert main(["export", *storage, "-o", str(folder / "exported.json")]) == 0

    (study,) = json.loads((folder / "exported.json").read_text())["studies"].values()
    assert study["pipeline"] == CLASSES[name]
    assert set(study["best"]["params"]) <= set(registry.get("models", name).accelerators)
    pipe = tuner.load(name, scheduler=sched, source=str(folder / "weights"))
    assert type(pipe).__name__ == study["pipeline"]
    plain = pictures(pipe, num_inference_steps=4)
    undo = tuner.apply(pipe, folder / "exported.json")
    accelerated = pictures(pipe, num_inference_steps=4)
    undo()
    assert same(pictures(pipe, num_inference_steps=4), plain)
    assert same(accelerated, plain) == (not study["best"]["params"])


@pytest.mark.parametrize("name", ["PixArt-Sigma"])
def test_deepcache_is_refused_before_anything_is_written(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = ["--storage", f"sqlite:///{folder / 'tuner.db'}"]
    flags = ["--pipe", name, "--model", str(folder / "weights"), "--search-targets", "deepcache"]
    assert main(["run", *flags, *storage]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "deepcache does not fit PixArtSigmaPipeline" in line
    assert not (folder / "tuner.db").exists()


@pytest.mark.parametrize(
    ("name", "sched", "reason"),
    [
        ("Flux", "DDIM", "trained by flow matching; use FlowMatchEuler"),
        ("SD3", "UniPC", "trained by flow matching; use FlowMatchEuler"),
        ("PixArt-Alpha", "FlowMatchEuler", "trained with a noise schedule of betas; use DDIM"),
    ],
)
def test_a_scheduler_of_the_other_kind_is_refused(
    name: str, sched: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = ["--storage", f"sqlite:///{folder / 'tuner.db'}"]
    flags = ["--pipe", name, "--model", str(folder / "weights"), "--sched", sched]
    assert main(["run", *flags, *storage]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{sched} does not fit this {CLASSES[name]}, which was " in line
    assert reason in line
    assert not (folder / "tuner.db").exists()


def test_a_vocabulary_in_t5s_own_format_is_read(tmp_path: Path) -> None:
    text = tmp_path / "words.txt"
    text.write_text("\n".join(world.WORDS * 9), encoding="utf-8")
    places: dict[str, Any] = {"input": str(text), "model_prefix": str(tmp_path / "spiece")}
    numbers = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    sentencepiece.SentencePieceTrainer.train(
        **places, **numbers, vocab_size=200, hard_vocab_limit=False, minloglevel=2
    )
    words = T5Tokenizer.from_pretrained(tmp_path, extra_ids=0)
    tokens = words.tokenize("a red circle")
    assert "".join(tokens).replace("▁", " ").split() == ["a", "red", "circle"]
    assert words.unk_token not in tokens
