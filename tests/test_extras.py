"""An installation without the extra `search` applies settings, and names the extra for the rest."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tuner
from tests.helpers.distributions import EXTRAS, LIGHT, ROOT, brought_by, modules_of, named
from tests.helpers.drawing import GUIDANCE, SIDE, STEPS, draw
from tests.helpers.pipelines import same
from tests.params.files import file, study
from tests.params.settings import DEEPCACHE
from tuner.extras import SEARCH_MODULES, needs_extras
from tuner.loading import fingerprint

SEARCHING = {"optuna", "optuna-dashboard", "sqlalchemy", "alembic", "open-clip-torch", "timm"}
SEARCHING |= {"datasets", "pandas", "pyarrow", "scikit-learn", "scipy", "torchmetrics"}
SEARCHING |= {"torchvision", "greenlet"}
# Begins a process that finds no module that an installation without extras lacks.
WITHOUT = f"""
import sys
from importlib.machinery import PathFinder

LACKING = {modules_of(brought_by(EXTRAS["search"]) - LIGHT)}
find = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in LACKING else find(name, path, target)

PathFinder.find_spec = staticmethod(find_spec)
"""
COMMAND = "from tuner.cli.main import main; sys.exit(main())"


def without_extras(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_an_install_without_extras_brings_nothing_that_only_searching_needs() -> None:
    assert not LIGHT & SEARCHING
    assert {"torch", "diffusers", "deepcache", "tomesd", "tgate"} <= LIGHT


def test_the_extra_search_brings_what_searching_needs() -> None:
    assert brought_by(EXTRAS["search"]) >= SEARCHING
    assert "diffusion-tuner[search,cluster,pixart,postgresql]" in EXTRAS["dev"]


@pytest.mark.parametrize("package", sorted(named(EXTRAS["search"])))
def test_each_package_of_the_extra_is_known_by_its_module(package: str) -> None:
    assert modules_of([package]) & SEARCH_MODULES


def test_without_extras_a_file_is_applied_and_draws_the_same_pictures(tmp_path: Path) -> None:
    pipe = tuner.load("miniature", scheduler="DDIM", device="cpu")
    conditions = {"resolution": SIDE, "guidance": GUIDANCE, "weights": fingerprint(pipe)}
    path = file(tmp_path, one=study(STEPS, DEEPCACHE, evaluation=conditions))
    program = "from tests.helpers.drawing import main; main(*sys.argv[1:])"
    finished = without_extras(program, "apply", str(path), "pictures.npy", folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    with tuner.applied(pipe, path) as generate:
        assert same(np.load(tmp_path / "pictures.npy"), draw(generate))


@pytest.mark.parametrize("command", ["run", "show", "verify"])
def test_without_the_extra_a_command_names_it_in_one_line(command: str, tmp_path: Path) -> None:
    finished = without_extras(COMMAND, command, folder=tmp_path)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr == (
        f"tuner: tuner {command} needs optuna, which is not installed; "
        "run pip install 'diffusion-tuner[search]'\n"
    )


def test_without_the_extra_help_is_printed(tmp_path: Path) -> None:
    finished = without_extras(COMMAND, "run", "--help", folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "--search-targets" in finished.stdout


@pytest.mark.parametrize("name", ["run", "Outcome"])
def test_without_the_extra_what_searches_is_an_error_that_names_it(
    name: str, tmp_path: Path
) -> None:
    finished = without_extras(f"import tuner; tuner.{name}", folder=tmp_path)
    assert finished.stderr.splitlines()[-1].startswith(
        f"tuner.errors.MissingExtraError: tuner.{name} needs "
    )
    assert "run pip install 'diffusion-tuner[search]'" in finished.stderr


def test_the_error_of_another_missing_package_is_left_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needs_extras("this"):
        import no_such_module  # noqa: F401
