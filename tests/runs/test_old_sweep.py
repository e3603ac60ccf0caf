"""Every command line of the old script's sweep runs; the miniature stands in for its models."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.runs.study import trials
from tuner import registry
from tuner.cli.main import main

LINES = [
    command[3:]  # without `python cli.py run`
    for line in (Path(__file__).parents[1] / "old_sweep.sh").read_text().splitlines()
    if (command := shlex.split(line, comments=True))
]
SHORT = ["--num-samples", "2", "--max-samples", "2", "--trials", "1", "--no-reference"]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The miniature under the names of the models that the hub has."""
    models = registry.components("models")
    for name in ("SD1.5", "SD2.1", "SDXL"):
        small = replace(models["miniature"], name=name, resolution=32)
        monkeypatch.setitem(models, name, small)
    monkeypatch.chdir(tmp_path)


def test_the_sweep_has_162_lines() -> None:
    assert len(LINES) == 162


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line[1:8:2]))
def test_a_line_searches_with_two_prompts(line: list[str], tmp_path: Path) -> None:
    assert main(["run", *line, *SHORT]) in (0, 1)  # 1: nothing feasible in one trial
    values = dict(zip(line[::2], line[1::2], strict=True))
    sched = values["--sched"].removesuffix("MultistepScheduler")  # UniPC's old name
    (trial,) = trials(tmp_path, f"{values['--pipe']}/{sched}/{values['--steps']}")
    assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    assert set(trial.user_attrs["setting"]) <= set(values["--search_targets"].split(","))
