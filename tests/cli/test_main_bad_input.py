"""Bad input: one line that says what would work, exit code 2, no traceback, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.refused import SMALL, Refused, snapshot
from tuner.study_files import bundled_studies

pytestmark = pytest.mark.usefixtures("folder", "no_server")

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--pipe SD4", "unknown model 'SD4'; known: Flux, miniature, PixArt-Alpha"),
        ("--sched DIM", "unknown scheduler 'DIM'; known: DDIM, DPM-Solver++, UniPC"),
        ("--search-targets tome,deepcash", "unknown accelerator 'deepcash'; known: "),
        ("--sampler gps", "unknown sampler 'gps'; known: "),
        ("--distinct", "distinct works with the sampler grid only, not with frontier"),
        ("--sampler walk --distinct", "distinct works with the sampler grid only, not with walk"),
        (
            "--sampler grid --search-targets deepcache,deepcache-window",
            "deepcache and deepcache-window change the same part of the model, and a grid has all "
            "its accelerators on; name only one in search_targets",
        ),
        ("--pipeline no.py:make_pipeline", "pipeline: there is no file no.py"),
        ("--pipeline production.py", "pipeline must name a function in a Python file, such as"),
        (
            "--call production.py:make_call",
            "call belongs to a pipeline of your own; set pipeline too",
        ),
        ("--pipeline a.py:b --model x", "model comes with the pipeline; leave it out where"),
        ("--device cuda:99", "unknown device 'cuda:99'; available: "),
        ("--device gpu", "unknown device 'gpu'; available: "),
        ("--scorer-device cuda:99", "unknown scorer_device 'cuda:99'; available: "),
        ("--scorer-device=", "scorer_device is empty; leave it out for the default"),
        ("--dtype float23", "unknown dtype 'float23'; known: float32, float16, bfloat16"),
        ("--steps 0", "steps must be a whole number of at least 1"),
        ("--steps twenty", "steps must be a whole number"),
        ("--num-samples 1", "num_samples must be a whole number of at least 2"),
        ("--req-score-loss 2", "req_score_loss must lie between 0 and 1 (0.02 is 2%)"),
        ("--req-speedup 0", "req_speedup must be above 0"),
        ("--seed -1", "seed"),
        ("--seed 5000000000", "seed"),
        ("--resolution 65", "resolution"),
        (
            "--num-samples 2000",
            "the miniature's search pool has 1024 prompts, but num_samples is 2000",
        ),
        ("--prompts nowhere", "unknown prompt set 'nowhere'; known: coco, DrawBench, miniature"),
        ("--prompts nowhere.txt", "cannot read the prompt file nowhere.txt"),
        ("--prompts .", "cannot read the prompt file ."),
        ("--model .", ". is not a diffusers pipeline: it has no model_index.json"),
        ("--model ./nowhere", "'./nowhere' is neither a folder nor a hub id"),
        ("--limit lpips", "limit 'lpips' must be a metric and a number, such as lpips=0.2"),
        ("--limit lpisp=0.2", "unknown metric 'lpisp'; known: clip, hpsv2, imagereward, lpips"),
        ("--limit clip=1", "clip is the score itself; req_score_loss is its limit"),
        ("--metrics fid", "unknown metric 'fid'; known: "),
        ("--guidance-scale 1 --search-targets tgate", "tgate needs guidance_scale above 1"),
        ("--guidance-scale -1", "guidance_scale must be at least 0 and finite, not -1.0"),
        ("--timeout inf", "timeout must be above 0 and finite, not inf"),
        ("--prompts=", "prompts is empty; leave it out for the default"),
        ("--model=", "model is empty"),
        ("--pictures=", "--pictures is empty; give a folder, or 'none'"),
        ("--steps 1 --search-targets deepcache", "nothing to try: with steps = 1 every value of"),
        ("--steps 2 --search-targets tgate --sampler tpe", "nothing to try: with steps = 2 every"),
        ("--steps 2 --search-targets tgate --sampler grid", "give more steps, other"),
        ("--steps 1001", "DDIMScheduler cannot run exactly 1001 steps on this model; the nearest"),
    ],
)
def test_a_wrong_flag_is_refused(flags: str, words: str, refused: Refused) -> None:
    assert words in refused(*SMALL, *flags.split())


def test_pixart_without_beautifulsoup4_names_the_command_that_installs_it(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("two.txt").write_text("a cat\na dog\n")
    flags = ["run", "--pipe", "PixArt-Sigma", "--prompts", "two.txt", "--num-samples", "2"]
    monkeypatch.setattr("diffusers.utils.import_utils._bs4_available", False)
    line = refused(*flags, "--search-targets", "tome")
    assert "PixArtSigmaPipeline needs beautifulsoup4 to clean captions" in line
    assert "pip install 'diffusion-tuner[pixart]'" in line


def test_an_empty_short_or_binary_prompt_file_is_refused(refused: Refused) -> None:
    Path("empty.txt").write_text("\n  \n")
    Path("short.txt").write_text("a cat\n")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    assert "is empty; write one prompt a line" in refused(*SMALL, "--prompts", "empty.txt")
    assert "has 1 prompts, but num_samples is 2" in refused(*SMALL, "--prompts", "short.txt")
    assert "is not UTF-8 text" in refused(*SMALL, "--prompts", "binary.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pipe = = 3", "study.toml:1:8: this is not TOML: "),
        ("num_sample = 3", "study.toml:1: unknown key 'num_sample'; did you mean num_samples?"),
        ("[knobs.tome]\nratio = 1.5", "tome.ratio = 1.5 is outside 0.0 … 1.0"),
        ("[knobs.deepcache]\ncache_branch_id = 12", "cache_branch_id = 12 is outside 0 … 11"),
        ("[knobs.tgate]\ngate_step = [5, 0]", "tgate.gate_step = 0 is outside 1 … 1000"),
        ('req_speedup = "2"', "req_speedup"),
    ],
)
def test_a_wrong_study_file_is_refused(text: str, words: str, refused: Refused) -> None:
    Path("study.toml").write_text(text)
    assert words in refused("run", "study.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('device = "cuda:99"', "study.toml:6: unknown device 'cuda:99'; available: "),
        ('scorer_device = "gpu"', "study.toml:6: unknown scorer_device 'gpu'; available: "),
        ('dtype = "float23"', "study.toml:6: unknown dtype 'float23'; known: float32"),
        ('prompts = "nowhere.txt"', "study.toml:6: cannot read the prompt file nowhere.txt"),
        ('model = "./nowhere"', "study.toml:6: './nowhere' is neither a folder nor a hub id"),
        ('storage = "nowhere/x.db"', "study.toml:6: "),
        ("num_samples = 2000", "study.toml:6: the miniature's search pool has 1024 prompts"),
        ('sched = "FlowMatchEuler"', "study.toml:6: FlowMatchEuler does not fit this Stable"),
        ('search_targets = ["fbcache"]', "study.toml:6: fbcache "),
    ],
)
def test_what_is_found_wrong_while_loading_is_in_the_study_file_too(
    text: str, words: str, refused: Refused
) -> None:
    key = text.split()[0]
    small = ['pipe = "miniature"', "steps = 2", "num_samples = 2", "batch_size = 2", "trials = 1"]
    lines = [line if line.split()[0] != key else "" for line in small]
    Path("study.toml").write_text("\n".join([*lines, text]))
    assert words in refused("run", "study.toml")


def test_a_missing_study_file_and_a_folder_are_refused(refused: Refused) -> None:
    line = refused("run", "nowhere.toml")
    assert "cannot read the study file nowhere.toml" in line
    assert f"{bundled_studies()} has flux.toml, miniature.toml" in line
    assert "cannot read the study file ." in refused("run", ".")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "set prompts to a text file"),
        pytest.param(
            "--prompts two.txt --num-samples 2", "set model to a folder", marks=pytest.mark.slow
        ),
    ],
    ids=["captions", "weights"],
)
def test_an_unreachable_hub_is_reported_in_one_line(flags: str, words: str, folder: Path) -> None:
    Path("two.txt").write_text("a cat\na dog\n")
    before = snapshot(folder)
    hub = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder.parent / f"{folder.name}-empty-hub")}
    finished = subprocess.run(
        [sys.executable, ROOT / "cli.py", "run", "--pipe", "SD1.5", *flags.split()],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | hub,
    )
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.startswith("tuner: cannot ")
    assert finished.stderr.count("\n") == 1
    assert words in finished.stderr
    assert snapshot(folder) == before
