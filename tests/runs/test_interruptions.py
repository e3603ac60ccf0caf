"""Ctrl-C while the database does not answer."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.runs.study import FLAGS, TRIPLE
from tuner.cli.main import main
from tuner.measure.evaluation import Evaluation
from tuner.storage import patience
from tuner.storage.patience import Outage


@pytest.fixture
def fill_the_disk() -> Iterator[Callable[[], None]]:
    """From its call on, databases cannot grow; SQLite reports that as a full disk."""
    full = []

    def limit(connection: Any) -> None:
        if full:
            connection.connection.dbapi_connection.execute("PRAGMA max_page_count=1")

    event.listen(Engine, "begin", limit)
    yield lambda: full.append(True)
    event.remove(Engine, "begin", limit)


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_the_disk_of_the_database_is_full_interrupts_the_run(
    presses: int,
    folder: Path,
    fill_the_disk: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    measure, pause = Evaluation.measure, Outage.pause

    def measured(*args: Any, **options: Any) -> Any:
        fill_the_disk()
        yield from measure(*args, **options)

    def pressed(*args: Any) -> None:
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(Outage, "pause", pause)

    monkeypatch.setattr(Evaluation, "measure", measured)
    monkeypatch.setattr(Outage, "pause", pressed)
    monkeypatch.setattr(patience, "WAIT_S", 20.0)
    monkeypatch.setattr(patience, "LAST_WAIT_S", 0.5)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = main([*FLAGS, "--pictures", "none", "--trials", "50"])
    finally:
        signal.signal(signal.SIGINT, before)
    printed, errors = capfd.readouterr()
    assert code == 130, printed + errors
    assert errors.endswith("tuner: interrupted; run the same command again to continue\n")
    assert f"{TRIPLE}: interrupted after " in printed
