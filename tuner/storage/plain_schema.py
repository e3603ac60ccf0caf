"""Whether a SQLite file can be read without computing an expression that somebody wrote into it.

The schema of a file may have expressions: in a view, a trigger, a generated column, a check, a
default value, an index. SQLite computes them in C, where neither Ctrl-C nor a time limit reaches
them. The tables that the tuner and Optuna make have none (but for two comparisons with a constant),
so they are looked for before any table is read. In tables of others, which nothing reads, they do
no harm.
"""

import re
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

OPTUNA_TABLES = frozenset(
    {
        *("alembic_version", "version_info", "studies", "study_directions"),
        *("study_user_attributes", "study_system_attributes", "trials", "trial_params"),
        *("trial_user_attributes", "trial_system_attributes", "trial_values"),
        *("trial_intermediate_values", "trial_heartbeats"),
    }
)
OTHER_TABLES = ("tuner_", "sqlite_")  # that are read as well; SQLite itself reads its own
# While nothing is checked yet. SQLite reads the statistics of a file (sqlite_stat1) as it opens it.
LONGEST_BYTES = 20_000  # of a value; the tuner's longest statement has 400 characters
LONGEST_S = 1.0  # of computing
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_TABLE = re.compile(r"CREATE\s+TABLE\b", re.ASCII | re.IGNORECASE)
_CHECK = "CHECK (version_info_id=1)"  # of Optuna, and the only one
_EXPRESSION = re.compile(r"\b(AS|CHECK|DEFAULT)\b", re.ASCII | re.IGNORECASE)
_NAME = r"""(?:\w+|"[^"]*")"""
_COLUMN = rf"\s*{_NAME}(?:\s+COLLATE\s+\w+)?(?:\s+ASC|\s+DESC)?\s*"
_PLAIN_INDEX = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX {_NAME}\s+ON\s+{_NAME}\s*\({_COLUMN}(?:,{_COLUMN})*\)"
    rf"(?:\s+WHERE\s+{_NAME}\s*=\s*'[^']*')?",  # that of a sweep has one
    re.ASCII | re.IGNORECASE,
)


def connect_to_read(path: Path, wait_s: float = 5.0, options: str = "") -> sqlite3.Connection:
    """A connection that cannot write, and that soon gives up what would take long.

    Args:
        path: the file.
        wait_s: how long another process that writes is waited for.
        options: further parameters of the file's URI, such as '&immutable=1'.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro{options}", uri=True, timeout=wait_s
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_BYTES)
    end = time.thread_time() + LONGEST_S
    connection.set_progress_handler(lambda: time.thread_time() > end, 1)
    return connection


def first_expression(connection: sqlite3.Connection) -> str | None:
    """What has an expression that SQLite would compute, such as "a view 'x'"; None if nothing."""
    for kind, name, table, sql in connection.execute(_SCHEMA):
        described = _with_expression(kind, repr(name), str(table).lower(), str(sql or ""))
        if described is not None:
            return described
    return None


def _with_expression(kind: str, name: str, table: str, sql: str) -> str | None:
    if kind == "table" and not _TABLE.match(sql):
        return f"a virtual table {name}"
    if kind not in ("table", "index"):
        return f"a {kind} {name}"
    if table not in OPTUNA_TABLES and not table.startswith(OTHER_TABLES):
        return None
    if kind == "index" and sql and not _PLAIN_INDEX.fullmatch(sql):  # a constraint's has no SQL
        return f"an index {name} with an expression"
    if kind == "table" and _EXPRESSION.search(sql.replace(_CHECK, " ")):
        return f"a table {name} with an expression"
    return None
