"""Looking at a database's file leaves the locks of this process's connections alone."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.helpers.simulated import Bench
from tuner.storage.address import check_address

WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
try:
    connection.execute("UPDATE tuner_version SET version = version")
    print("written")
except sqlite3.OperationalError as error:
    print(error)
"""


def test_another_process_stays_locked_out_after_a_look_at_the_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.storage.engine.dispose()
    bench.storage.optuna.engine.dispose()
    file = tmp_path / "tuner.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # whose locks are on the file itself
        connection.execute("BEGIN EXCLUSIVE")
        check_address(f"sqlite:///{file}")
        command = [sys.executable, "-c", WRITE, str(file)]
        written = subprocess.run(command, capture_output=True, text=True, check=True)
    assert written.stdout.strip() == "database is locked"
