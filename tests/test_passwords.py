"""No password of a database is printed."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL, make_url

from tuner.errors import UsageError
from tuner.passwords import hidden
from tuner.storage.database import Storage


@given(st.text(min_size=1), st.text(), st.sampled_from(["h", "h:5432", "[::1]:5432"]))
def test_of_an_address_only_the_password_is_hidden(user: str, password: str, host: str) -> None:
    made = URL.create("postgresql+psycopg", username=user, password=password)
    start = made.render_as_string(hide_password=False)
    address = f"{start}{host}/db?sslmode=require" if start.endswith("@") else start
    shown = hidden(address)
    assert shown.endswith("***@" + address.rpartition("@")[2])
    assert make_url(shown).username == make_url(address).username


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:///tuner.db", "sqlite:///tuner.db"),
        ("sqlite:////a/b@c:d.db", "sqlite:////a/b@c:d.db"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgresql://u:se/cr@et@h/db", "postgresql://u:***@h/db"),
        (
            "postgresql://h/db?user=u&password=secret&x=1",
            "postgresql://h/db?user=u&password=***&x=1",
        ),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("--storage=postgresql://u:secret@h/db", "--storage=postgresql://u:***@h/db"),
    ],
)
def test_passwords_are_hidden_wherever_an_address_has_them(address: str, shown: str) -> None:
    assert hidden(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+nodriver://me:geheim@localhost/db",
        "postgresql+psycopg2://me:geheim@localhost:1/db",
        "postgresql+psycopg2://me:geheim@localhost:port/db",
        "post gresql://me:geheim@localhost/db",
    ],
)
def test_no_message_has_the_password(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        Storage(address, create=False)
    assert "://me:***@localhost" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_the_lock_file_of_a_device_contains_no_password() -> None:
    code = (
        "from tuner.measure.lock import device_lock, lock_files\n"
        "with device_lock('cpu', print): print(lock_files('cpu')[0].read_text())"
    )
    command = [sys.executable, "-c", code, "--storage", "postgresql://me:geheim@h/db"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["command"].endswith("--storage postgresql://me:***@h/db")
