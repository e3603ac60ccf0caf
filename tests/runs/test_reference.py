"""A search on the miniature ends with the plain pipeline at fewer steps, for comparison."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.runs.study import FLAGS, TRIPLE, spec
from tuner.cli.main import main
from tuner.measure.account import Purpose
from tuner.params import schema
from tuner.session import Session
from tuner.storage.database import Storage
from tuner.study.costs import read_costs
from tuner.study.reference import read_reference

COMMAND = [*(flag for flag in FLAGS if flag != "--no-reference"), "--pictures", "none"]


def test_fewer_steps_are_measured_shown_and_exported_once(
    folder: Path, calls: list[range], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*COMMAND, "--trials", "3"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "measuring the plain pipeline with fewer steps, for comparison" in printed
    assert f"{TRIPLE}: the plain pipeline with fewer steps" in printed
    study = Storage("sqlite:///tuner.db", create=False).study(TRIPLE)
    rows = read_reference(study)
    assert 1 <= len(rows) <= 3
    assert all(row.steps < 4 and row.prompts == 4 and row.speedup.value > 1 for row in rows)
    spent = read_costs(study).others
    assert spent.pictures[Purpose.FEWER_STEPS] >= 6 * len(rows)  # with a pair of each
    assert spent.seconds[Purpose.FEWER_STEPS] > 0
    calls.clear()
    assert main(command) == 0
    assert calls == []
    capsys.readouterr()
    assert main(["show"]) == 0
    shown = capsys.readouterr().out
    assert f"{TRIPLE}: the plain pipeline with fewer steps" in shown
    assert ("at the same speed, " in shown) or ("fewer steps were measured up to" in shown)
    assert main(["export"]) == 0
    contents = json.loads(Path("search_params.json").read_text())
    jsonschema.validate(contents, schema.load())
    exported = contents["studies"][TRIPLE]["reference"]
    assert [row["steps"] for row in exported] == [row.steps for row in rows]
    assert [row["score_loss"] for row in exported] == [row.score_loss.value for row in rows]


def test_without_a_reference_there_is_none(folder: Path, session: Session) -> None:
    session.run(spec(folder))
    study = Storage("sqlite:///tuner.db", create=False).study(TRIPLE)
    assert read_reference(study) == []
    assert main(["export"]) == 0
    contents = json.loads(Path("search_params.json").read_text())
    assert "reference" not in contents["studies"][TRIPLE]


def test_a_sweep_measures_no_reference(tmp_path: Path, session: Session) -> None:
    outcome = session.run(
        spec(
            tmp_path,
            sampler="grid",
            search_targets=("deepcache",),
            knobs={"deepcache": {"cache_interval": (2,), "cache_branch_id": (0,)}},
            trials=None,
            reference=True,
        )
    )
    assert outcome.results
    assert outcome.reference == []
