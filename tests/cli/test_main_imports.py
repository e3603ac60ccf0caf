"""Commands that need no model do not import the libraries that run models."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench
from tuner.study.identity import request

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "diffusers", "transformers", "open_clip", "datasets", "scipy", "sklearn")
PROGRAM = f"""
import sys
from tuner.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code
heavy = [name for name in {HEAVY} if name in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small study, and a study file with an invalid value."""
    place = tmp_path_factory.mktemp("study")
    bench = Bench(place, trials=3, metrics=("ssim",))
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


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("show", 0, "Pareto front"),
        ("export", 0, "wrote search_params.json (1 study)"),
        ("--help", 0, "usage: tuner"),
        ("run --help", 0, "--search-targets"),
        ("run wrong.toml", 2, "steps must be a whole number of at least 1"),
        ("run --sched DIM", 2, "unknown scheduler"),
    ],
    ids=lambda part: str(part)[:20],
)
def test_commands_that_need_no_model_do_not_import_its_libraries(
    arguments: str, code: int, words: str, folder: Path
) -> None:
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
