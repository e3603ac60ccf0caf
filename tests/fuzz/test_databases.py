"""Databases that are damaged, belong to other programs, or hold what the tuner never stores."""

import gc
import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from optuna.storages import RDBStorage

from tests.fuzz.bounds import INPUTS, fuzz
from tests.fuzz.commands import run
from tests.fuzz.hostile import NESTED, TEXTS, damaged, json_of, mangled
from tests.helpers.pictured import PicturedBench
from tests.helpers.simulated import EVALUATION
from tuner.cli.main import main
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.reading import reading
from tuner.storage.view import StorageView
from tuner.study.stored import check_stored

NAME = "miniature/DDIM/50"
COMMANDS = [
    ["show"],
    ["show", NAME],
    ["show", "--json"],
    ["show", "--cost"],
    ["show", NAME, "--trial", "1"],
    ["show", NAME, "--trial", "2", "--json"],
    ["export"],
    ["export", "--pick", "knee"],
    ["export", "--format", "diffusers"],
    ["compare", NAME, "--trials", "0,1"],
    ["dashboard"],
    ["doctor"],
    ["run", "--pipe", "miniature"],
    ["report"],
]
JSON_COLUMNS = {
    "study_user_attributes": "value_json",
    "study_system_attributes": "value_json",
    "trial_user_attributes": "value_json",
    "trial_system_attributes": "value_json",
    "trial_params": "distribution_json",
    "tuner_baselines": "payload",
}
STATEMENTS = [
    "DELETE FROM {table}",
    "DROP TABLE {table}",
    "UPDATE trials SET number = NULL",
    "UPDATE trials SET number = 9223372036854775807",
    "UPDATE trials SET state = 'DONE'",
    "UPDATE trials SET state = 'RUNNING', datetime_complete = NULL",
    "UPDATE trials SET datetime_start = 'yesterday'",
    "UPDATE trials SET study_id = 77",
    "UPDATE studies SET study_name = {text}",
    "UPDATE studies SET study_id = -1",
    "INSERT INTO studies (study_name) VALUES ({text})",
    "UPDATE trial_values SET value = 9e999",
    "UPDATE trial_values SET value = 'fast', value_type = 'FINITE'",
    "UPDATE trial_params SET param_value = 9e999",
    "UPDATE trial_params SET param_name = {text}",
    "UPDATE alembic_version SET version_num = {text}",
    "UPDATE version_info SET library_version = {text}",
    "UPDATE version_info SET schema_version = 99",
    "UPDATE tuner_version SET version = {text}",
    "UPDATE tuner_version SET version = 99",
    "UPDATE tuner_baselines SET payload = {text}",
    "UPDATE tuner_heartbeats SET at = {text}",
    "UPDATE study_directions SET direction = {text}",
    "CREATE VIEW extra AS SELECT 1",
    "ALTER TABLE {table} ADD COLUMN extra AS (abs(-9223372036854775807 - 1))",
    "CREATE INDEX extra ON {table} (abs(rowid))",
    "PRAGMA user_version = 9",
]
OTHERS = [b"", b"SQLite format 3\0", b"SQLite format 3\0" + b"\0" * 5000, b"PK\3\4", b"\0" * 5000]


@dataclass(frozen=True)
class Change:
    """What is done to the database; the files of pictures stay."""

    data: bytes | None = None  # all of the file
    statement: str | None = None
    row: tuple[str, int] | None = None  # table, and number of a row whose JSON is replaced
    text: str = ""

    def __call__(self, file: Path) -> None:
        if self.data is not None:
            file.write_bytes(self.data)
            return
        with closing(sqlite3.connect(file)) as connection, connection:
            if self.statement is not None:
                connection.executescript(self.statement)
            if self.row is not None:
                table, number = self.row
                connection.execute(
                    f"UPDATE {table} SET {JSON_COLUMNS[table]} = ? WHERE rowid IN "
                    f"(SELECT rowid FROM {table} LIMIT 1 OFFSET {number})",
                    (self.text,),
                )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database and the pictures of a study of four trials."""
    folder = tmp_path_factory.mktemp("prepared")
    bench = PicturedBench(folder, trials=4)
    bench.run()
    bench.storage.engine.dispose()
    bench.storage.optuna.engine.dispose()
    with pytest.MonkeyPatch.context() as patch:  # imports are no part of a command's bounds
        patch.chdir(shutil.copytree(folder, tmp_path_factory.mktemp("warm") / "copy"))
        _stub(patch)
        for command in COMMANDS:
            main(command)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of the commands, with a copy of the pictures."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    _stub(monkeypatch)
    yield folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]


def changes(file: Path) -> st.SearchStrategy[Change]:
    """Changes of a database: of one value in it, of its tables, or of its bytes."""
    documents = []
    with closing(sqlite3.connect(file)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
        for table, column in JSON_COLUMNS.items():
            rows = connection.execute(f"SELECT {column} FROM {table}").fetchall()
            documents += [(table, number, json.loads(text)) for number, (text,) in enumerate(rows)]
    of_rows = st.sampled_from(documents).flatmap(
        lambda row: st.one_of(damaged(row[2]).map(json_of), st.sampled_from(TEXTS)).map(
            lambda text: Change(row=row[:2], text=text.encode(errors="replace").decode())
        )
    )
    named = [name for name in tables if not name.startswith(("sqlite", "ix_"))]
    quoted = [_quoted(text) for text in TEXTS]
    of_tables = st.builds(
        lambda statement, table, text: Change(statement=statement.format(table=table, text=text)),
        st.sampled_from(STATEMENTS),
        st.sampled_from(named),
        st.sampled_from(quoted),
    )
    of_bytes = st.one_of(st.sampled_from(OTHERS), mangled(file.read_bytes()))
    return st.one_of(of_rows, of_rows, of_tables, of_bytes.map(lambda data: Change(data=data)))


@INPUTS
def test_any_database_is_read_or_refused_in_one_line(
    inputs: int, folder: Path, prepared: Path
) -> None:
    drawn = st.tuples(changes(prepared / "tuner.db"), st.sampled_from(COMMANDS))
    fuzz(inputs, drawn, lambda value: _changed(folder, prepared, *value))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(statement="CREATE VIEW extra AS SELECT 1"), "has a view 'extra'"),
        (
            Change(
                statement="CREATE TRIGGER extra AFTER INSERT ON trials BEGIN "
                "DELETE FROM trials; END"
            ),
            "has a trigger 'extra'",
        ),
        (
            Change(row=("study_user_attributes", 0), text=NESTED),
            "holds something that this version",
        ),
        (Change(row=("study_user_attributes", 0), text="7" * 20_000_000), "string or blob too big"),
        (
            Change(
                statement="DROP TABLE tuner_version; CREATE TABLE tuner_version (version TEXT);"
                "INSERT INTO tuner_version VALUES ('x')"
            ),
            "is damaged: its version is 'x'",
        ),
    ],
)
def test_databases_that_must_be_refused(
    change: Change, words: str, folder: Path, prepared: Path
) -> None:
    assert words in _changed(folder, prepared, change, ["show"])


def _changed(folder: Path, prepared: Path, change: Change, command: Sequence[str]) -> str:
    for file in folder.glob("tuner.db*"):
        file.unlink()
    shutil.copy(prepared / "tuner.db", folder)
    try:
        change(folder / "tuner.db")
    except (sqlite3.Error, OverflowError):
        return ""  # SQLite itself does not accept the change
    try:
        return run(command)[2]
    finally:
        gc.collect(0)


def _stub(patch: pytest.MonkeyPatch) -> None:
    """Let a dashboard and a run read the database as they do, and then end."""
    patch.setattr("optuna_dashboard.run_server", _visit)
    patch.setattr("tuner.cli.launch.run_all", _begin)


def _begin(specs: list[StudySpec], *arguments: Any, **options: Any) -> None:
    """What a session does with a database before it measures."""
    (spec,) = specs
    with reading(spec.storage):
        check_stored(Storage(spec.storage).open_study(spec.triple, EVALUATION))


def _visit(view: StorageView, **options: Any) -> None:
    """Read what the dashboard's pages read; what Optuna can read must be shown somehow."""
    for study in view.get_all_studies():
        view.get_study_system_attrs(study._study_id)
        try:
            RDBStorage.get_all_trials(view, study._study_id)
        except Exception:
            continue  # the dashboard answers with an error
        for trial in view.get_all_trials(study._study_id):
            view.get_trial_system_attrs(trial._trial_id)


def _quoted(text: str) -> str:
    plain: Any = text.encode(errors="replace").decode().replace("'", "''")
    return f"'{plain}'".replace("{", "{{").replace("}", "}}").replace("\0", "")
