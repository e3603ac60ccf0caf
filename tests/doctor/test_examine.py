"""`tuner doctor`: what it says of this machine, and its exit code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.stored import searched
from tuner.cli.main import main
from tuner.doctor.examine import can_search, examine
from tuner.doctor.finding import Finding, Status
from tuner.doctor.machine import disk
from tuner.measure.lock import device_lock


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_search_of_the_miniature_can_run_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--pipe", "miniature"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["packages", "device", "memory"]
    assert lines[-1] == "a search of miniature can run here"
    assert not Path("tuner.db").exists()


def test_a_search_whose_weights_cannot_be_fetched_cannot_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--pipe", "SDXL", "--json"]) == 1  # the tests contact no hub
    document = json.loads(capsys.readouterr().out)
    assert document["can_search"] is False
    missing = {f["name"] for f in document["findings"] if f["status"] == "missing"}
    assert missing == {"model SDXL", "scorer clip", "prompts coco"}
    assert all(f["remedy"] for f in document["findings"] if f["status"] == "missing")


def test_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--pipe", "SD9"]) == 2
    assert "unknown model 'SD9'; known: " in capsys.readouterr().err


def test_the_database_is_opened_and_its_studies_counted(folder: Path) -> None:
    searched(folder)
    assert by_name(examine("tuner.db", "miniature"))["database"].text == "tuner.db has 1 study"


@pytest.mark.parametrize("address", ["://", "postgresql://host:port/tuner"])
def test_an_address_that_is_none_is_a_finding(address: str) -> None:
    database = by_name(examine(address, "miniature"))["database"]
    assert database.status is Status.MISSING
    assert "is not a database URL" in database.text


def test_a_database_that_cannot_be_used_is_missing() -> None:
    Path("tuner.db").write_text("dear diary")
    findings = examine("sqlite:///tuner.db", "miniature")
    database = by_name(findings)["database"]
    assert database.status is Status.MISSING
    assert "tuner.db is not a SQLite database" in database.text
    assert not can_search(findings)


def test_the_process_that_measures_on_the_device_is_named() -> None:
    with device_lock("cpu", pytest.fail):
        lock = by_name(examine("tuner.db", "miniature"))["lock"]
    assert lock.status is Status.NOTE
    assert "is measuring on cpu; another run waits for it" in lock.text
    assert by_name(examine("tuner.db", "miniature"))["lock"].text == "no run measures on cpu"


def test_a_full_disk_is_missing_space(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10**8))
    finding = disk("disk of the database", folder / "new", needed=True)
    assert finding.status is Status.MISSING
    assert finding.text.startswith("0.1 GB free in ")


@pytest.mark.parametrize(("package", "unknown"), [("psutil", "device"), ("sqlalchemy", "database")])
def test_without_a_package_the_other_things_are_still_looked_at(package: str, unknown: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None; from tuner.cli.main import main; "
        "sys.exit(main(['doctor', '--pipe', 'miniature']))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 1, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("ok       packages")
    assert f"unknown, because {package} is not installed" in finished.stdout
    assert unknown in lines[-1]
