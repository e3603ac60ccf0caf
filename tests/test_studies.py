"""The bundled study files."""

from itertools import groupby
from pathlib import Path

import pytest

from tuner import registry
from tuner.study_files import bundled_studies, read_specs

FILES = sorted(bundled_studies().glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_bundled_study_file_parses(path: Path) -> None:
    specs = read_specs(path, {})
    assert specs
    assert len({spec.triple for spec in specs}) == len(specs)


def test_there_is_a_study_file_for_each_model_and_one_for_the_old_sweep() -> None:
    names = {registry.plain(path.stem) for path in FILES}
    assert names >= {registry.plain(name) for name in registry.components("models")}
    assert "traversal" in names


@pytest.mark.parametrize("name", registry.components("models"))
def test_each_models_study_file_names_that_model(name: str) -> None:
    (spec,) = read_specs(bundled_studies() / f"{registry.plain(name)}.toml", {})
    assert spec.pipe == name


def test_the_traversal_has_27_studies_and_loads_each_model_once() -> None:
    specs = read_specs(bundled_studies() / "traversal.toml", {})
    assert len(specs) == 27
    assert {spec.steps for spec in specs} == {20, 25, 50}
    assert {spec.sched for spec in specs} == {"DDIM", "DPM-Solver++", "UniPC"}
    assert [pipe for pipe, _ in groupby(spec.pipe for spec in specs)] == ["SD1.5", "SD2.1", "SDXL"]
