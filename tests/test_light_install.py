"""A front that was searched here is applied in an environment of its own, without extras.

The environment is made by pip with the pinned versions (5 GB in a temporary folder, removed
afterwards), and imports the installed package, not this clone.
"""

import json
import shutil
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.distributions import EXTRAS, LIGHT, ROOT, named
from tests.helpers.pipelines import same
from tuner.cli.main import main
from tuner.measure.batch_generator import BatchGenerator, prompt_seed
from tuner.setting import Setting

pytestmark = pytest.mark.slow

STEPS = 8
RUN = ["run", "--pipe", "miniature", "--steps", str(STEPS), "--num-samples", "4", "--trials", "8"]
RUN += ["--search-targets", "deepcache,tome", "--sampler", "random", "--req-score-loss", "0.9"]
RUN += ["--max-samples", "4", "--pictures", "none", "--device", "cpu"]

# Draws the calls that a file lists, with the whole front of a search_params.json and its best.
DRAW = """
import json
import runpy

import numpy
import torch
import tuner

torch.set_num_threads(1)
assert "site-packages" in tuner.__file__
with open("calls.json") as file:
    calls = json.load(file)
with open("search_params.json") as file:
    (study,) = json.load(file)["studies"].values()

def draw(generate, calls):
    for call in calls:
        noise = [torch.Generator().manual_seed(seed) for seed in call["seeds"]]
        numpy.save(call["output"], generate(
            call["prompts"], num_inference_steps=study["steps"], generator=noise, output_type="np",
            guidance_scale=study["evaluation"]["guidance"], height=64, width=64).images)

pipe = tuner.load("miniature", scheduler="DDIM", device="cpu")
for name, calls_of_point in calls.items():
    if name == "best":
        undo = tuner.apply(pipe, "search_params.json")
        draw(pipe, calls_of_point)
        undo()
    elif name == "script":
        draw(runpy.run_path("accelerated.py")["generate"], calls_of_point)
    else:
        with tuner.applied(pipe, study["pareto"][int(name)]["params"]) as generate:
            draw(generate, calls_of_point)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of an environment with this package, without extras."""
    folder = tmp_path_factory.mktemp("light")
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    finished = subprocess.run(
        [*pip, "--no-cache-dir", "--constraint", ROOT / "constraints.txt", ROOT],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    yield python
    shutil.rmtree(folder)


class Recorder:
    """The pictures of trials, with the prompts and the seeds of their noise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: dict[Setting, list[dict[str, Any]]] = {}
        generate_with = BatchGenerator.generate_with

        def recorded(
            generator: BatchGenerator, setting: Setting, numbers: range, *args: Any, **options: Any
        ) -> Any:
            pictures, seconds = generate_with(generator, setting, numbers, *args, **options)
            if not generator.verifies:
                call = {
                    "prompts": generator.texts(numbers),
                    "seeds": [prompt_seed(generator.seed, number) for number in numbers],
                    "pictures": pictures.permute(0, 2, 3, 1).numpy(),
                }
                self.calls.setdefault(setting, []).append(call)
            return pictures, seconds

        monkeypatch.setattr(BatchGenerator, "generate_with", recorded)


def test_a_front_that_was_searched_here_draws_the_trials_pictures_in_a_light_install(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(monkeypatch)
    assert main(RUN) == 0
    assert main(["export"]) == 0
    assert main(["export", "--format", "diffusers"]) == 0
    (study,) = json.loads(Path("search_params.json").read_text())["studies"].values()
    best, points = study["best"], study["pareto"]
    assert best is not None
    assert len(points) > 1
    settings = {str(number): point["params"] for number, point in enumerate(points)}
    settings |= {"best": best["params"], "script": best["params"]}
    calls = {name: recorder.calls[Setting.of(params)] for name, params in settings.items()}
    for name, calls_of_point in calls.items():
        calls[name] = [
            call | {"output": f"{name}-{number}.npy"} for number, call in enumerate(calls_of_point)
        ]
    without_pictures = {
        name: [{key: value for key, value in call.items() if key != "pictures"} for call in some]
        for name, some in calls.items()
    }
    Path("calls.json").write_text(json.dumps(without_pictures))
    finished = subprocess.run(
        [python, "-c", DRAW], capture_output=True, text=True, env={"OMP_NUM_THREADS": "1"}
    )
    assert finished.returncode == 0, finished.stderr
    for call in (call for some in calls.values() for call in some):
        assert same(np.load(call["output"]), call["pictures"]), call["output"]


def test_a_light_install_has_the_packages_that_its_metadata_promises(python: Path) -> None:
    program = "from importlib import metadata as m; print(*(d.name for d in m.distributions()))"
    finished = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    installed = named(finished.stdout.split()) - {"pip", "diffusion-tuner"}
    assert installed == LIGHT
    assert not installed & (named(EXTRAS["search"]) - LIGHT)


def test_a_search_in_a_light_install_names_the_extra(python: Path, tmp_path: Path) -> None:
    command = [python.with_name("tuner"), "run", "--pipe", "miniature"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 2
    assert finished.stderr == (
        "tuner: tuner run needs optuna, which is not installed; "
        "run pip install 'diffusion-tuner[search]'\n"
    )
