"""A SQLite file is refused if reading or writing a table would compute what its author wrote."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from optuna.storages._rdb.models import BaseModel

from tuner.errors import UsageError
from tuner.storage.address import check_address
from tuner.storage.cursor import Cursor
from tuner.storage.database import Storage
from tuner.storage.names import study_names_in
from tuner.storage.plain_schema import OPTUNA_TABLES, OTHER_TABLES
from tuner.storage.tables import Base

EARLIER = Path(__file__).parent.parent / "data" / "version-0.1" / "tuner.db"
FAILS = "abs(-9223372036854775807 - 1)"  # SQLite's message names it if it is computed
SLOW = "instr(hex(zeroblob(9000)), hex(zeroblob(4500)) || tbl)"  # takes milliseconds for each row


def rewritten(name: str, sql: str) -> str:
    """A script that replaces the statement which made a table."""
    quoted = sql.replace("'", "''")
    return (
        "PRAGMA writable_schema = 1;"
        f"UPDATE sqlite_master SET sql = '{quoted}' WHERE type = 'table' AND name = '{name}'"
    )


def with_generated(name: str, column: str, *, after: str) -> str:
    """A script that makes a table's column one that is computed when it is read."""
    return (
        f"DROP TABLE {name}; CREATE TABLE {name} (x INTEGER); INSERT INTO {name} VALUES (1);"
        + rewritten(name, f"CREATE TABLE {name} (x INTEGER, {column}{after}({FAILS}))")
    )


STATISTICS = "CREATE TABLE sqlite_stat1 (tbl, idx AS ({}), stat)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of a database with a study."""
    return Path(shutil.copy(EARLIER, tmp_path))


def change(file: Path, script: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            with_generated("tuner_version", "version", after=" INTEGER GENERATED ALWAYS AS "),
            "a table 'tuner_version' with an expression",
        ),
        (
            with_generated("trial_user_attributes", '"key"', after="as/**/"),
            "a table 'trial_user_attributes' with an expression",
        ),
        (
            f"DROP TABLE trials; CREATE TABLE Trials (trial_id INTEGER, state AS ({FAILS}))",
            "a table 'Trials' with an expression",
        ),
        (
            f"DROP TABLE tuner_version; CREATE TABLE tuner_version (version CHECK ({FAILS}))",
            "a table 'tuner_version' with an expression",
        ),
        (
            f"DROP TABLE tuner_version; CREATE TABLE tuner_version (version DEFAULT ({FAILS}))",
            "a table 'tuner_version' with an expression",
        ),
        ("CREATE INDEX odd ON trials (state LIKE number)", "an index 'odd' with an expression"),
        ("CREATE INDEX odd ON trials (state) WHERE number > 7", "an index 'odd' with an expr"),
        ("ANALYZE;" + rewritten("sqlite_stat1", STATISTICS.format(1)), "a table 'sqlite_stat1' "),
        (
            "CREATE TABLE odd (x);" + rewritten("odd", "CREATE/**/VIRTUAL TABLE odd USING none(x)"),
            "a virtual table 'odd'",
        ),
        ("CREATE VIEW odd AS SELECT 1", "a view 'odd'"),
    ],
)
def test_a_file_with_an_expression_is_refused_before_it_is_computed(
    script: str, words: str, file: Path
) -> None:
    change(file, script)
    with pytest.raises(UsageError, match=f"has {words}.*, which the tuner never creates"):
        check_address(str(file))


def test_a_shell_is_offered_no_names_of_a_file_with_an_expression(file: Path) -> None:
    assert study_names_in(str(file))
    change(file, "CREATE INDEX odd ON studies (abs(study_id))")
    assert study_names_in(str(file)) == []


def test_statistics_that_sqlite_computes_as_it_opens_a_file_are_given_up(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.storage.plain_schema.LONGEST_S", 0.05)
    rows = ", ".join(["('trials', '7')"] * 500)
    plain = rewritten("sqlite_stat1", "CREATE TABLE sqlite_stat1 (tbl, stat)")
    change(file, f"ANALYZE; DELETE FROM sqlite_stat1; {plain}")
    change(file, f"INSERT INTO sqlite_stat1 VALUES {rows}")
    change(file, rewritten("sqlite_stat1", STATISTICS.format(SLOW)))
    with pytest.raises(UsageError, match=r"SQLite computes for more than .* s to open"):
        check_address(str(file))


def test_values_are_short_while_nothing_is_checked(file: Path) -> None:
    change(file, "DROP TABLE tuner_version; CREATE TABLE tuner_version (version)")
    change(file, "INSERT INTO tuner_version VALUES (hex(zeroblob(1000000)))")
    with pytest.raises(UsageError, match="string or blob too big"):
        check_address(str(file))


@pytest.mark.parametrize(
    "script",
    [
        "",
        "ANALYZE",
        "CREATE INDEX mine ON trials(state DESC, number)",
        "CREATE TABLE notes (at DEFAULT (datetime('now')), words CHECK (words <> ''), n AS (1));"
        "CREATE INDEX shouted ON notes (upper(words)) WHERE words IS NOT NULL",
    ],
)
def test_plain_tables_and_the_further_tables_of_a_user_are_accepted(
    script: str, file: Path
) -> None:
    change(file, script)
    storage = Storage(str(file), create=False)
    Cursor(storage.open_study("SDXL/DDIM/20", {"batch": 4})).index_computations()
    check_address(str(file))  # with the tables and indexes of this version
    assert study_names_in(str(file)) == storage.study_names()


def test_every_table_of_optuna_and_of_the_tuner_is_looked_at() -> None:
    assert set(BaseModel.metadata.tables) <= OPTUNA_TABLES
    assert all(name.startswith(OTHER_TABLES) for name in Base.metadata.tables)
