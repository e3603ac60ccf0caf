"""Addresses of databases: whether one can be used, and which program the database belongs to."""

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from tuner.errors import UsageError
from tuner.passwords import HIDDEN, hidden
from tuner.places import can_write, check_name
from tuner.storage.plain_schema import LONGEST_S, connect_to_read, first_expression
from tuner.storage.tables import VERSION

# Packages by the modules that they bring, where the names differ; psycopg's has its C library.
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}
SERVER = "postgresql"  # whose SQL is used where that of databases differs, besides SQLite's
MOST_TABLES = 1000  # that are looked at; the tuner and Optuna have about twenty
MOST_BYTES = 16_000_000  # of a row that is read; the pictures and scores of a trial take far less
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
# libpq's parameters: by default a cut network is noticed after many minutes. Seconds; milliseconds.
_LIBPQ = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
}
_CONNECT = {"psycopg": _LIBPQ, "psycopg2": _LIBPQ}  # arguments, by driver


def check_address(url: str) -> None:
    """Raise `UsageError` for a database that could not be used; writes nothing."""
    engine_options(full(url), create=True)


def full(url: str) -> str:
    """An address as SQLAlchemy reads it; a bare file name means SQLite."""
    return url if "://" in url else f"sqlite:///{url}"


def absolute(url: str) -> str:
    """An address that names the same database from any folder."""
    file = file_of(url)
    if file is None:
        return url
    address = parsed(url).set(database=str(file.absolute()))
    return address.render_as_string(hide_password=False)


def parsed(url: str) -> URL:
    """An address by its parts; a `UsageError` for what is none."""
    try:
        return make_url(full(url))
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise UsageError(f"{hidden(url)!r} is not a database URL; try sqlite:///tuner.db") from None


def file_of(url: str) -> Path | None:
    """The file of a database; None for one that is on a server."""
    address = parsed(url)
    if not address.drivername.startswith("sqlite") or not address.database:
        return None
    return Path(address.database)


def folder_of(url: str) -> Path | None:
    """The folder of the database's file; None for a database that is on a server."""
    file = file_of(url)
    return None if file is None else file.absolute().parent


def unusable(url: str, error: Exception) -> UsageError:
    """The error for a database that cannot be used."""
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return UsageError(
        f"cannot use the database {hidden(url)}: {without_password(reason, url)}; "
        "set storage to another file"
    )


def without_password(reason: str, url: str) -> str:
    """A library's message without the password, which it may contain."""
    password = make_url(url).password
    for secret in (password, quote(password, safe="")) if password else ():
        reason = reason.replace(secret, HIDDEN)
    return hidden(reason)


def engine_options(url: str, create: bool) -> dict[str, Any]:
    """SQLAlchemy's arguments for the address; a `UsageError` if it cannot be used."""
    address = parsed(url)
    if not address.drivername.startswith("sqlite"):
        _check_driver(address)
        return {"connect_args": _CONNECT.get(address.get_driver_name(), {})}
    if not address.database or address.database == ":memory:":
        raise UsageError("the database must be a file; try sqlite:///tuner.db")
    path = Path(address.database)
    check_name(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; set storage to a file, such as sqlite:///tuner.db")
    if path.exists():
        # Read by SQLite alone: closing the file otherwise would end the locks that this process's
        # connections hold on it, and other processes would remove the log that they read.
        if path.stat().st_size:
            _look_inside(path, url)
        if not os.access(path, os.W_OK):
            raise UsageError(f"{path} cannot be written to; set storage to another file")
    elif not create:
        raise UsageError(f"there is no database {path}; `tuner run` creates one")
    if not path.parent.is_dir():
        raise UsageError(
            f"there is no folder {path.parent}; create it, or set storage to another file"
        )
    if not can_write(path.parent):
        raise UsageError(
            f"the folder {path.parent} cannot be written to; set storage to a file in another one"
        )
    return {"connect_args": {"timeout": 60}}


def _check_driver(address: URL) -> None:
    """Raise `UsageError` for a server that is not PostgreSQL, or whose driver is missing."""
    if address.get_backend_name() != SERVER:
        raise UsageError(
            f"{hidden(str(address))!r} is a database that the tuner cannot use; try "
            "postgresql+psycopg://USER@HOST/NAME or a file"
        )
    try:
        address.get_dialect().import_dbapi()
    except NoSuchModuleError as error:
        raise UsageError(
            f"{hidden(str(address))!r} is of a kind of database that SQLAlchemy does not know; try "
            "postgresql+psycopg://USER@HOST/NAME or a file"
        ) from error
    except ImportError as error:
        name = error.name or address.get_driver_name()
        raise UsageError(
            f"the database {hidden(str(address))} needs a driver: {str(error).splitlines()[0]}; "
            f"pip install '{DRIVERS.get(name, name)}', or set storage to a file"
        ) from error


def _look_inside(path: Path, url: str) -> None:
    """Check which program a database belongs to, without writing to the file or its folder."""
    # Without a write-ahead log no process is writing; "immutable" keeps SQLite from creating one.
    quiet = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    connection = connect_to_read(path, options=quiet)
    try:
        tables = {name for (name,) in connection.execute(_TABLES).fetchmany(MOST_TABLES)}
        check_owner(tables, url)
        found = first_expression(connection)
        if found is not None:
            raise UsageError(
                f"{hidden(url)} has {found}, which the tuner never creates, and which could run "
                "SQL of its author; set storage to another file"
            )
        check_version(tables, connection, url)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_NOTADB":
            raise UsageError(
                f"{path} is not a SQLite database; set storage to another file"
            ) from error
        if name == "SQLITE_INTERRUPT":
            raise UsageError(
                f"SQLite computes for more than {LONGEST_S:g} s to open {path}; set storage to "
                "another file"
            ) from error
        raise unusable(url, error) from error
    finally:
        connection.close()


def check_owner(tables: set[str], url: str) -> None:
    """Raise `UsageError` for a database of another program; `tables` are the names of its tables.

    No table is read.
    """
    if tables and not any(name.startswith("tuner_") for name in tables):
        raise UsageError(
            f"{hidden(url)} belongs to another program (it has a table {sorted(tables)[0]!r}); "
            "set storage to another file"
        )


def check_version(tables: set[str], connection: Any, url: str) -> None:
    """Raise `UsageError` for a database of a newer version of the tuner."""
    if "tuner_version" in tables:
        query = "SELECT MAX(version) FROM tuner_version"
        ((newest,),) = connection.execute(query).fetchall()
        if newest is not None and not isinstance(newest, int):
            raise UsageError(
                f"{hidden(url)} is damaged: its version is {str(newest)[:40]!r}; set storage to "
                "another file"
            )
        if newest is not None and newest > VERSION:
            raise UsageError(
                f"{hidden(url)} was made by a newer version of the tuner ({newest} > {VERSION}); "
                "update the tuner, or set storage to another file"
            )
