"""A run's account has every picture that it generates, and all of its time."""

import time
from pathlib import Path

import pytest

from tests.runs.study import TRIPLE, spec
from tuner.cli.main import main
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
