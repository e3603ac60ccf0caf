"""`tuner.tune`: a pipeline as a service runs it is searched, exported, and applied elsewhere."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import tuner
from tests.helpers.pipelines import new
from tests.helpers.production import PROMPTS, make_call, make_pipeline
from tests.runs.study import ROOT, Count
from tuner import registry
from tuner.cli.main import main
from tuner.measure.batch_generator import prompt_seed
from tuner.measure.evaluation import Evaluation
from tuner.outcome import Outcome
from tuner.params.verify import verify
from tuner.params.write import document, write
from tuner.setting import Setting

NAME = "StableDiffusionControlNetImg2Img/DDIM/3"  # three passes of five, at strength 0.6
FUNCTIONS = ROOT / "tests" / "helpers" / "production.py"
Drawn = dict[tuple[str, tuple[int, ...], bool], torch.Tensor]  # by setting, prompts, verifying

# A service that was started later: it draws the pictures of prompts 0 and 2, which were searched.
SERVICE = """
import sys, torch, tuner
from tests.helpers.production import make_pipeline
from tests.runs.test_tuning import pictures
pipe = make_pipeline()
tuner.apply(pipe, sys.argv[1])
torch.save(pictures(pipe, 0, 2), sys.argv[2])
"""


@pytest.fixture(scope="module", autouse=True)
def scored_by_the_miniatures_scorer() -> Iterator[None]:
    """The score of this class of pipeline is that of a CLIP which would have to be downloaded."""
    miniature = registry.get("models", "miniature")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuner.workloads.family_like", lambda pipeline: miniature)
        yield


def tuned(pipe: Any, folder: Path, **changes: Any) -> Outcome:
    options = {
        "batch_size": 2,
        "trials": 2,
        "max_samples": 2,
        "sampler": "random",
        "req_score_loss": 0.99,
        "reference": False,
        "storage": f"sqlite:///{folder / 'tuner.db'}",
    }
    return tuner.tune(pipe, **{"prompts": list(PROMPTS)} | options | make_call() | changes)


def pictures(pipe: Any, *places: int, seed: int = 42) -> torch.Tensor:
    """The pictures of some of the prompts, as a program calls the pipeline."""
    call = make_call()
    call["image"] = [call["image"][place] for place in places]
    call["negative_prompt"] = [call["negative_prompt"]] * len(places)
    noise = [torch.Generator().manual_seed(prompt_seed(seed, n)) for n in range(len(places))]
    prompts = [PROMPTS[place] for place in places]
    images: torch.Tensor = pipe(prompts, generator=noise, output_type="pt", **call).images
    return images


@dataclass
class Served:
    """A study of the pipeline, its file, and all that was drawn for it."""

    pipe: Any
    outcome: Outcome
    file: Path
    drawn: Drawn
    seeds: dict[bool, int]  # of the noise: False: of the trials; True: of the verifications


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder, pipe = tmp_path_factory.mktemp("served"), make_pipeline()
    drawn: Drawn = {}
    seeds: dict[bool, int] = {}
    generate_with = Evaluation.generate_with

    def kept(self: Evaluation, setting: Setting, numbers: range, *args: Any, **more: Any) -> Any:
        images, seconds = generate_with(self, setting, numbers, *args, **more)
        drawn[str(setting), tuple(numbers), self.verifies] = images.clone()
        seeds[self.verifies] = self.seed
        return images, seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluation, "generate_with", kept)
        outcome = tuned(pipe, folder)
    write(folder / "search_params.json", document([outcome.study]))
    return Served(pipe, outcome, folder / "search_params.json", drawn, seeds)


def check_served(images: torch.Tensor, served: Served) -> None:
    assert served.outcome.best is not None
    assert torch.equal(images, served.drawn[str(served.outcome.best.setting), (0, 1), False])
    assert not torch.equal(images, served.drawn["baseline", (0, 1), False])


@pytest.mark.filterwarnings("error:.*measured:UserWarning")
def test_the_file_gives_a_new_pipeline_the_trials_pictures_bit_for_bit(served: Served) -> None:
    assert served.outcome.study.study_name == NAME
    pipe = make_pipeline()
    with tuner.applied(pipe, served.file):
        images = pictures(pipe, 0, 2)
    check_served(images, served)


@pytest.mark.slow
def test_a_service_started_later_draws_the_trials_pictures_bit_for_bit(
    served: Served, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning:tuner", "-c", SERVICE, served.file, "a.pt"],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    check_served(torch.load(tmp_path / "a.pt"), served)


def test_arguments_follow_their_prompts_to_the_verification(served: Served) -> None:
    assert served.outcome.best is not None
    setting, seed = served.outcome.best.setting, served.seeds[True]
    pipe = make_pipeline()
    assert seed != served.seeds[False] == 42
    with tuner.applied(pipe, setting, seed=seed):
        images = pictures(pipe, 1, 3, seed=seed)  # the prompts between those that were searched
    assert torch.equal(images, served.drawn[str(setting), (0, 1), True])


def test_the_pipeline_is_left_as_it_was_also_after_ctrl_c(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = make_pipeline()
    pipe.set_progress_bar_config(desc="mine", disable=True)
    before = pictures(pipe, 0)
    assert torch.equal(pictures(served.pipe, 0), before)
    state, scheduler = dict(vars(pipe)), dict(vars(pipe.scheduler))

    def interrupted(*args: Any, **options: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluation, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuned(pipe, tmp_path)
    assert set(vars(pipe)) == set(state)
    assert all(vars(pipe)[name] is value for name, value in state.items())
    assert all(vars(pipe.scheduler)[name] is value for name, value in scheduler.items())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in pipe.unet.modules())
    assert torch.equal(pictures(pipe, 0), before)


class Ended(Exception):  # noqa: N818
    """Ends a run when its study is open."""


class First(Count):
    """Ends a run when its study is open; has the study's name then."""

    name = ""

    def study_began(self, study: Any, spent_s: Any) -> None:
        self.name = study.study_name
        raise Ended


def name_of(pipe: Any, folder: Path, **changes: Any) -> str:
    """The name of the study that a request opens."""
    first = First()
    with pytest.raises(Ended):
        tuned(pipe, folder, observer=first, **changes)
    return first.name


def test_other_adapters_and_other_arguments_have_studies_of_their_own(tmp_path: Path) -> None:
    pipe = make_pipeline()
    assert name_of(pipe, tmp_path) == name_of(pipe, tmp_path) == NAME
    assert name_of(pipe, tmp_path, strength=0.4) == "StableDiffusionControlNetImg2Img/DDIM/2"
    changed = name_of(pipe, tmp_path, controlnet_conditioning_scale=0.2)
    assert changed == f"{NAME} controlnet_conditioning_scale=0.2"
    pipe.set_adapters(["poster"], [1.0])
    assert name_of(pipe, tmp_path).startswith(f"{NAME} weights=")
    assert name_of(pipe, tmp_path, name="poster") == "poster/DDIM/3"
    pipe.scheduler.register_to_config(beta_end=0.5)
    assert name_of(pipe, tmp_path, name="poster") != "poster/DDIM/3"


def test_prompts_alone_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = First()
    with pytest.raises(Ended):
        tuner.tune(new("sd"), PROMPTS, observer=first)
    assert first.name == "StableDiffusion/DDIM/50"  # the default of the pipeline's call
    with pytest.raises(tuner.UsageError, match="a study needs at least 2 prompts, not 1"):
        tuner.tune(new("sd"), PROMPTS[:1])


def test_functions_in_a_file_do_the_same_from_a_study_file_and_are_verified_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "production.py").write_text(FUNCTIONS.read_text(encoding="utf-8"))
    (folder / "prompts.txt").write_text("\n".join(PROMPTS))
    (folder / "study.toml").write_text(
        'pipeline = "production.py:make_pipeline"\ncall = "production.py:make_call"\n'
        'sampler = "random"\nnum_samples = 2\nmax_samples = 2\nbatch_size = 2\ntrials = 1\n'
        "req_score_loss = 0.99\nreference = false\n"
    )
    monkeypatch.chdir(tmp_path)
    prompts = ["--prompts", str(folder / "prompts.txt")]
    assert main(["run", str(folder / "study.toml"), "--pictures", "none", *prompts]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "study/production.py:make_pipeline: goal: " in output.replace("study/ ", "study/")
    assert main(["export"]) == 0
    lines: list[str] = []
    functions = {name: f"study/production.py:make_{name}" for name in ("pipeline", "call")}
    with pytest.raises(tuner.UsageError, match="code that only a file names is not run"):
        verify(Path("search_params.json"), report=print)
    verify(Path("search_params.json"), report=lines.append, best_only=True, changes=functions)
    assert lines[1].startswith("holds: ")
    other = functions | {"call": {**make_call(), "strength": 0.8}}
    with pytest.raises(
        tuner.UsageError, match="was measured with steps 3, but now it is 4; name the functions"
    ):
        verify(Path("search_params.json"), report=lines.append, changes=other)


def test_a_file_of_a_pipeline_that_a_program_made_is_verified_with_functions(
    served: Served, tmp_path: Path
) -> None:
    file = tmp_path / "search_params.json"
    file.write_bytes(served.file.read_bytes())
    with pytest.raises(tuner.UsageError, match="is made; set pipeline to a function"):
        verify(file, report=print)
    functions = {name: f"{FUNCTIONS}:make_{name}" for name in ("pipeline", "call")}
    lines: list[str] = []
    verify(file, report=lines.append, best_only=True, changes=functions)
    assert lines[1].startswith("holds: ")
