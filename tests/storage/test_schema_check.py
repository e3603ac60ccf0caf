"""Optuna's tables are checked by the version that made them; alembic decides about others."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import optuna
import pytest

import tuner
from tuner.errors import UsageError
from tuner.storage.database import Storage

ROOT = Path(tuner.__file__).parent.parent


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that the installed Optuna has made."""
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    storage = Storage(url)
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    return url


def change(url: str, statement: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute(statement)
        connection.commit()


def revision(url: str) -> list[tuple[str]]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def imports_alembic(url: str) -> bool:
    program = (
        "import sys; from tuner.storage.database import Storage; "
        f"Storage({url!r}, create=False); sys.exit('alembic' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return bool(subprocess.run([sys.executable, "-c", program], env=environment).returncode)


def test_tables_of_the_installed_optuna_are_opened_without_alembic(url: str) -> None:
    assert not imports_alembic(url)


def test_tables_that_another_optuna_made_are_opened_if_their_revision_is_the_same(
    url: str,
) -> None:
    change(url, "UPDATE version_info SET library_version = '4.0.0'")
    assert imports_alembic(url)


def test_tables_of_an_older_revision_are_refused(url: str) -> None:
    change(url, "UPDATE version_info SET library_version = '2.0.0'")
    change(url, "UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    with pytest.raises(UsageError, match="no longer compatible"):
        Storage(url, create=False)


def test_tables_without_a_revision_get_one(url: str) -> None:
    before = revision(url)
    change(url, "DELETE FROM alembic_version")
    Storage(url, create=False)
    assert revision(url) == before


def test_other_storages_of_optuna_are_checked_by_alembic(url: str) -> None:
    change(url, "UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    with pytest.raises(RuntimeError, match="no longer compatible"):
        optuna.storages.RDBStorage(url)
