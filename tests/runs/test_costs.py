"""A run's account has every picture that it generates, and all of its time."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.runs.study import TRIPLE, finished, spec
from tuner.cli.main import main
from tuner.errors import TrialError
from tuner.measure import setting_procedure
from tuner.measure.account import Purpose
from tuner.session import Session
from tuner.storage.database import Storage
from tuner.study.costs import read_costs


@pytest.mark.parametrize("sampler", ["random", "frontier"])
def test_every_picture_and_second_is_accounted_for(
    sampler: str,
    tmp_path: Path,
    session: Session,
    calls: list[range],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = time.monotonic()
    session.run(spec(tmp_path, trials=3, sampler=sampler, search_targets=("deepcache",)))
    wall_s = time.monotonic() - start
    storage = f"sqlite:///{tmp_path / 'tuner.db'}"
    costs = read_costs(Storage(storage, create=False).study(TRIPLE))
    assert sum(costs.total.pictures.values()) == sum(map(len, calls))
    assert costs.total.pictures[Purpose.VERIFICATION] > 0
    assert 0.5 * wall_s < costs.total.seconds[Purpose.REST] <= 1.01 * wall_s  # a simulated clock
    assert main(["show", "--cost", "--storage", storage]) == 0
    shown = capsys.readouterr().out
    assert "cost by purpose" in shown and "cost by trial" in shown
    assert "of the pictures generated after the baseline" in shown


@pytest.mark.parametrize("error", [TrialError("out of memory"), KeyboardInterrupt()])
def test_what_a_trial_cost_that_failed_in_its_first_batch_is_shown_with_it(
    error: BaseException,
    tmp_path: Path,
    session: Session,
    calls: list[range],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second Ctrl-C is raised there, too."""

    checked, errors = setting_procedure.checked, iter([error])

    def fail_once(output: Any) -> Any:
        for raised in errors:
            time.sleep(1.5)
            raise raised
        return checked(output)

    monkeypatch.setattr(setting_procedure, "checked", fail_once)
    with suppress(KeyboardInterrupt):
        session.run(spec(tmp_path, trials=2, search_targets=("deepcache",)))
    assert finished(tmp_path)[0].state == TrialState.FAIL
    storage = Storage(f"sqlite:///{tmp_path / 'tuner.db'}", create=False)
    costs = read_costs(storage.study(TRIPLE))
    assert costs.trials[0].pictures[Purpose.SCORED] == 2
    assert costs.trials[0].seconds[Purpose.SCORING] >= 1.5
    assert sum(costs.total.pictures.values()) == sum(map(len, calls))
