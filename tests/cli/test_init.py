"""`tuner init`: a study file that says what every key means, and runs what the flags ask for."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft7Validator

from tests.helpers.specs import flags
from tests.test_spec import VALUES
from tuner import registry
from tuner.cli.init import study_text
from tuner.cli.main import main
from tuner.cli.study_schema import schema
from tuner.formatting import sentence
from tuner.study_files import KEYS, read_specs

pytestmark = pytest.mark.usefixtures("folder")


def uncommented(text: str) -> str:
    """The file with every key and table that it has as a comment."""
    return re.sub(r"(?m)^#(?=[a-z\[])", "", text)


def test_it_writes_a_file_that_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    line = "wrote study.toml (SD1.5/DDIM/50); edit it, then run: tuner run study.toml\n"
    assert capsys.readouterr().out == line
    assert read_specs(Path("study.toml"), {}) == flags()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pipe", "miniature", "--steps", "20"],
        ["--pipe", "SDXL,SD1.5", "--sched", "ddim", "--req-speedup", "2", "--limit", "lpips=0.2"],
        ["--sampler", "grid", "--search-targets", "deepcache", "--distinct", "--no-transfer"],
        ["--pipeline", "production.py:make_pipeline", "--call", "production.py:make_call"],
        ["--pipeline", "production.py:make_pipeline", "--steps", "20", "--guidance-scale", "3"],
        ["--prompts", 'a "quoted" ü.txt', "--metrics", "ssim,psnr", "--timeout", "60"],
    ],
    ids=" ".join,
)
def test_the_file_runs_what_the_flags_ask_for(arguments: list[str]) -> None:
    assert main(["init", "mine.toml", *arguments]) == 0
    assert read_specs(Path("mine.toml"), {}) == flags(*arguments)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(VALUES)
def test_a_file_with_any_keys_set_gives_their_studies(values: dict[str, object]) -> None:
    specs = read_specs(None, values)
    Path("study.toml").write_text(study_text(Path("study.toml"), specs, set(values)))
    # A value that is given twice stands in the file once.
    studies = {spec.triple: spec for spec in specs}
    assert {spec.triple: spec for spec in read_specs(Path("study.toml"), {})} == studies


def test_the_file_says_what_each_knob_means() -> None:
    targets = ("deepcache", "magcache", "fastercache")
    assert main(["init", "--search-targets", ",".join(targets)]) == 0
    text = " ".join(Path("study.toml").read_text().replace("\n# ", " ").split())
    for name in targets:
        for knob in registry.get("accelerators", name).knobs():
            assert f"{sentence(knob.help)} #{knob.name} = " in text


@pytest.mark.parametrize("name", registry.components("models"))
def test_every_key_is_in_the_file_and_its_commented_values_are_right(name: str) -> None:
    sched = "FlowMatchEuler" if name in ("Flux", "SD3") else "DDIM"
    assert main(["init", "all.toml", "--pipe", name, "--sched", sched]) == 0
    text = uncommented(Path("all.toml").read_text())
    Path("all.toml").write_text(text)
    assert set(tomllib.loads(text)) == KEYS
    Draft7Validator(schema()).validate(tomllib.loads(text))
    # A pipeline of one's own has no model and no precision to choose.
    own = re.compile(r"(?m)^pipeline = .*\n|^\[call\]\n(?:\w+ = .*\n)+")
    Path("all.toml").write_text(own.sub("", text))
    Path("my-model").mkdir()  # the folder of the commented example
    (spec,) = read_specs(Path("all.toml"), {})
    assert spec.resolution == registry.get("models", name).resolution


def test_a_sweep_has_no_default_number_of_trials_but_an_example() -> None:
    assert main(["init", "--sampler", "walk"]) == 0
    assert "# example:\n#trials = 100\n" in Path("study.toml").read_text()


def test_lines_are_at_most_100_characters_but_for_the_address_of_the_schema() -> None:
    assert main(["init"]) == 0
    lines = Path("study.toml").read_text().splitlines()
    assert lines[0].startswith("#:schema file:///")
    assert all(len(line) <= 100 for line in lines[1:])


def test_a_file_that_exists_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("study.toml").write_text("steps = 20\n")
    assert main(["init"]) == 2
    assert capsys.readouterr().err == (
        "tuner: study.toml exists and is not overwritten; name another file: tuner init FILE\n"
    )
    assert Path("study.toml").read_text() == "steps = 20\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere/study.toml"], "cannot write nowhere/study.toml: No such file or directory"),
        (["--steps", "0"], "steps must be a whole number of at least 1, not 0"),
        (["--sched", "DIM"], "unknown scheduler 'DIM'; known: DDIM, DPM-Solver++, UniPC, FlowMatc"),
    ],
)
def test_a_wrong_value_or_place_is_refused_and_nothing_is_written(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"tuner: {line}")
    assert not list(Path().iterdir())
