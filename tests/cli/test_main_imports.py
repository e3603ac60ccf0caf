"""Commands import no library that they do not need, so that they answer at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench
from tuner.study.identity import request

ROOT = Path(__file__).parent.parent.parent
HEAVY = {"torch", "diffusers", "transformers", "open_clip", "datasets", "torchmetrics"}
HEAVY |= {"scipy", "sklearn", "pandas", "matplotlib", "plotly", "alembic", "jsonschema"}
# What commands that read the database need, and help and a wrong flag do not.
READING = {"optuna", "sqlalchemy", "numpy", "rich"}
# Ends where the dashboard's server would be imported, which needs some of these itself.
PROGRAM = f"""
import sys
from tuner.cli.main import main

class Server:
    def find_spec(self, name, path=None, target=None):
        if name == "optuna_dashboard":
            sys.exit(0)

sys.meta_path.insert(0, Server())
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code
sys.stdout.flush()
print(*({HEAVY | READING} & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small study, and a study file with an invalid value."""
    place = tmp_path_factory.mktemp("study")
    bench = Bench(place, trials=3, metrics=("ssim",), search_targets=("deepcache",))
    bench.search()
    baseline = {"latency_s": 1.0, "score": 30.0, "num_samples": 2}
    for name, value in {
        "request": request(bench.spec),
        "pipeline": "StableDiffusionPipeline",
        "versions": {},
        "baseline": baseline,
    }.items():
        bench.study.set_user_attr(name, value)
    bench.storage.engine.dispose()
    bench.storage.optuna.engine.dispose()
    (place / "wrong.toml").write_text("steps = 0\n")
    return place


def imported_by(arguments: str, folder: Path, code: int, words: str) -> set[str]:
    """The libraries that a command imports in a fresh process; checks how it ends."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert finished.returncode == code, finished.stderr
    assert words in finished.stdout + finished.stderr
    return set(finished.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("show", "Pareto front"),
        ("show --cost", "did not record costs"),
        ("export", "wrote search_params.json (1 study)"),
        ("export --format diffusers", "wrote accelerated.py (1 study)"),
        ("dashboard --port 8917", "serving sqlite:///tuner.db"),
    ],
)
def test_commands_that_read_a_database_do_not_import_the_libraries_of_models(
    arguments: str, words: str, folder: Path
) -> None:
    assert not imported_by(arguments, folder, 0, words) & HEAVY


def test_compare_does_not_import_the_libraries_of_models(folder: Path) -> None:
    arguments = "compare miniature/DDIM/50 --trials 0"
    assert not imported_by(arguments, folder, 2, "has no pictures here") & HEAVY


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("--help", 0, "usage: tuner"),
        ("run --help", 0, "--search-targets"),
        ("export --help", 0, "--format"),
        ("run --stpes 3", 2, "unknown argument --stpes"),
    ],
)
def test_help_and_a_wrong_flag_import_no_library(
    arguments: str, code: int, words: str, folder: Path
) -> None:
    assert not imported_by(arguments, folder, code, words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run wrong.toml", "steps must be a whole number of at least 1"),
        ("run --sched DIM", "unknown scheduler"),
    ],
)
def test_a_wrong_study_is_refused_without_importing_the_libraries_of_models(
    arguments: str, words: str, folder: Path
) -> None:
    assert not imported_by(arguments, folder, 2, words) & (HEAVY | READING - {"rich"})
