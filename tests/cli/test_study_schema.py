"""The JSON Schema of study files: made from the code, and of one mind with what reads the files."""

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft7Validator

from tests.test_spec import VALUES
from tuner.cli.study_flags import study_flags
from tuner.cli.study_schema import PATH, schema
from tuner.errors import UsageError
from tuner.study_files import KEYS, bundled_studies, read_specs

VALIDATOR = Draft7Validator(schema())


def test_the_shipped_schema_is_the_one_that_the_code_makes() -> None:
    shipped = json.loads(PATH.read_text(encoding="utf-8"))
    assert shipped == schema(), "run: python -m tuner.cli.study_schema"
    Draft7Validator.check_schema(shipped)


def test_every_key_is_in_the_schema_with_a_description() -> None:
    properties = schema()["properties"]
    assert set(properties) == KEYS
    assert all(len(value["description"]) > 10 for value in properties.values())


def test_every_key_but_the_table_of_knobs_has_a_flag_and_every_flag_a_key() -> None:
    destinations = {action.dest for action in study_flags()._actions}
    assert destinations == KEYS - {"knobs"}


def test_descriptions_name_keys_and_not_flags() -> None:
    for name, value in schema()["properties"].items():
        assert "--" not in value["description"], name
        assert "commas" not in value["description"], name


@pytest.mark.parametrize("path", sorted(bundled_studies().glob("*.toml")), ids=lambda p: p.stem)
def test_the_bundled_study_files_follow_the_schema_and_name_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    VALIDATOR.validate(tomllib.loads(text))
    directive, _, place = text.partition("\n")[0].partition(" ")
    assert directive == "#:schema"
    assert (path.parent / place).resolve() == PATH.resolve()


@given(VALUES)
def test_what_the_reader_accepts_follows_the_schema(values: dict[str, Any]) -> None:
    VALIDATOR.validate(values)


@pytest.mark.parametrize(
    "text",
    [
        "num_sample = 3",
        "steps = 0",
        "steps = [20, 0]",
        "steps = []",
        "steps = 20.5",
        'pipe = "SD4"',
        "pipe = 3",
        'sched = "DIM"',
        'search_targets = ["tomme"]',
        "search_targets = []",
        'metrics = ["clip"]',
        "num_samples = 1",
        "seed = 4294967296",
        "resolution = 65",
        "req_score_loss = 1.0",
        "req_speedup = 0",
        "guidance_scale = -1",
        'sampler = "gps"',
        'aim = "fast"',
        "distinct = 1",
        'device = ""',
        "limits.clip = 1",
        'limits.lpips = "low"',
        "knobs.tome.ratoi = 1",
        "knobs.tome.ratio = 1.5",
        "knobs.tome.ratio = []",
        "knobs.deepcache.cache_interval = 2.5",
        "knobs.deepcash.cache_interval = 2",
    ],
)
def test_the_schema_and_the_reader_refuse_the_same_mistakes(text: str, tmp_path: Path) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(text))
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(UsageError, match=r"study\.toml:1: "):
        read_specs(tmp_path / "study.toml", {})


def test_a_flag_that_switches_off_is_a_key_that_is_false() -> None:
    (flag,) = (action for action in study_flags()._actions if action.dest == "transfer")
    assert isinstance(flag, argparse.Action)
    assert schema()["properties"]["transfer"]["description"].startswith(
        "Set `transfer` to false to disab"
    )
