"""A working folder for commands, and a way to run those that must be refused."""

from pathlib import Path

import pytest

from tests.cli.refused import Refused


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the command."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def no_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a dashboard that is not refused from serving forever."""
    if "command" in request.fixturenames:
        monkeypatch.setattr("optuna_dashboard.run_server", lambda *args, **options: None)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(capsys)
