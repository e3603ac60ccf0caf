"""Databases, folders and ports that cannot be used: one line, exit code 2, nothing written."""

import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from tests.cli.refused import COMMANDS, SMALL, Refused
from tuner.cli.main import main
from tuner.storage.database import Storage

pytestmark = pytest.mark.usefixtures("folder", "no_server")


@COMMANDS
def test_a_database_of_another_program_is_refused_and_not_changed(
    command: list[str], refused: Refused
) -> None:
    with closing(sqlite3.connect("tuner.db")) as connection:
        connection.execute("CREATE TABLE recipes (title TEXT)")
        connection.commit()
    line = refused(*command)
    assert "belongs to another program (it has a table 'recipes')" in line
    assert "set storage to another file" in line


@COMMANDS
def test_optuna_studies_of_another_program_are_refused(
    command: list[str], refused: Refused
) -> None:
    theirs = optuna.create_study(storage="sqlite:///tuner.db", study_name="theirs")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert "belongs to another program" in refused(*command)


@COMMANDS
def test_a_file_that_is_not_a_database_is_refused(command: list[str], refused: Refused) -> None:
    Path("tuner.db").write_text("dear diary, this is no database at all\n")
    assert "tuner.db is not a SQLite database" in refused(*command)


@COMMANDS
def test_a_database_of_a_newer_version_is_refused_and_not_changed(
    command: list[str], refused: Refused
) -> None:
    storage = Storage("sqlite:///tuner.db")
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    with closing(sqlite3.connect("tuner.db")) as connection:
        connection.execute("UPDATE tuner_version SET version = 99")
        connection.commit()
    line = refused(*command)
    assert "was made by a newer version of the tuner (99 > 1)" in line
    assert "update the tuner" in line


@COMMANDS
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite:///no/such/folder/tuner.db", ""),
        ("sqlite:///.", ""),
        ("sqlite://", "the database must be a file; try sqlite:///tuner.db"),
        ("nonsense://here/x", "nonsense://here/x"),
    ],
)
def test_a_database_address_that_cannot_be_opened_is_refused(
    address: str, words: str, command: list[str], refused: Refused
) -> None:
    assert words in refused(*command, "--storage", address)


@pytest.mark.parametrize("command", [["show"], ["export"], ["dashboard"]], ids=" ".join)
def test_without_a_database_the_message_names_the_command_that_creates_one(
    command: list[str], refused: Refused
) -> None:
    assert "there is no database tuner.db; `tuner run` creates one" in refused(*command)


def test_the_dashboard_names_a_missing_database_before_a_port_in_use(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert "there is no database" in refused("dashboard", "--port", port)
        Storage("sqlite:///tuner.db")
        assert f"cannot listen on port {port}" in refused("dashboard", "--port", port)


def test_a_missing_folder_is_named(refused: Refused) -> None:
    line = refused(*SMALL, "--storage", "sqlite:///nowhere/tuner.db")
    assert "there is no folder nowhere" in line


def test_an_unknown_study_is_refused_with_the_name_that_is_near(
    refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage("sqlite:///tuner.db")
    storage.open_study("SD1.5/DDIM/50", {"batch": 4})
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    main(["show", "--study", "x"])  # opens it once, so that the journal files exist
    capsys.readouterr()
    assert "did you mean SD1.5/DDIM/50?" in refused("show", "--study", "SD1.5/DDIM/20")


@pytest.mark.parametrize("name", ["file", "file/pictures"])
def test_a_pictures_folder_that_is_a_file_is_refused(name: str, refused: Refused) -> None:
    Path("file").write_text("mine")
    assert "pictures must be a folder" in refused(*SMALL, "--pictures", name)
    assert Path("file").read_text() == "mine"


def test_a_port_that_is_in_use_is_named(refused: Refused) -> None:
    storage = Storage("sqlite:///tuner.db")
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refused("dashboard", "--port", str(port))


@pytest.fixture
def read_only(folder: Path) -> Iterator[Path]:
    """A read-only folder; for root, on a read-only mount, as root can write to any folder."""
    place = folder / "read only"
    place.mkdir()
    mounted = False
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(place)]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
        if not mounted:
            pytest.skip("the root user can write everywhere, and mounting is not allowed here")
    else:
        place.chmod(0o555)
    yield place
    os.chdir(folder)
    if mounted:
        subprocess.run(["umount", str(place)], check=True)
    else:
        place.chmod(0o755)


def test_a_read_only_folder_is_refused(
    read_only: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(read_only)
    assert "cannot be written to" in refused(*SMALL)


def test_pictures_in_a_read_only_folder_are_refused(
    read_only: Path, folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(read_only)
    line = refused(*SMALL, "--storage", f"sqlite:///{folder / 'tuner.db'}")
    assert "pictures must be a folder that can be written to" in line
    assert not (folder / "tuner.db").exists()
