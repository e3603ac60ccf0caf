"""One database: Optuna's studies, our table of baselines, and which process runs which trial."""

import hashlib
import json
import sqlite3
import warnings
from datetime import UTC, datetime
from typing import Any

import optuna
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tuner.errors import UsageError
from tuner.passwords import hidden
from tuner.storage import address
from tuner.storage.creating import created
from tuner.storage.database_log import bypass_trial_cache, index_by_state
from tuner.storage.living_storage import LivingStorage
from tuner.storage.names import names_hint
from tuner.storage.patience import Patience, patient
from tuner.storage.tables import VERSION, Base, BaselineRow, VersionRow

NAME_LENGTH = 500  # characters of a study's name; Optuna's column has room for 512
# What is set for each connection, by the kind of database.
SETTINGS = {
    # With SQLite's defaults processes lock each other out.
    "sqlite": ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"),
    # The locks of a worker that was suspended, or whose host is gone, are released.
    "postgresql": (
        "SET idle_in_transaction_session_timeout = '60s'",
        "SET tcp_keepalives_idle = 20",
        "SET tcp_keepalives_interval = 10",
        "SET tcp_keepalives_count = 3",
    ),
}


class Storage:
    """Opens the database, and creates it when there is none.

    Raises `UsageError` for an address that cannot be opened, a file of another program, a database
    of a newer version and a folder that cannot be written to; nothing is written then.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open `url`, such as 'sqlite:///tuner.db'; without `create` it must exist."""
        self.url = address.full(url)
        options = address.engine_options(self.url, create)
        try:
            self.engine: Engine = create_engine(self.url, **options)
            _tune(self.engine)
            if self.engine.dialect.name != "sqlite":  # a file was checked already
                with self.engine.connect() as connection:
                    tables = set(inspect(self.engine).get_table_names())
                    address.check_owner(tables, self.url)
                    address.check_version(tables, _Plain(connection), self.url)
            created(self._make_tables)
            self.optuna = created(lambda: LivingStorage(self.url, options))
            _tune(self.optuna.engine)
            self.optuna.engine.dispose()  # the connection that created its tables is not tuned
        except (SQLAlchemyError, RuntimeError, ModuleNotFoundError) as error:
            raise address.unusable(self.url, error) from error

    @property
    def patience(self) -> Patience:
        """How this process waits for the database; it does not wait until its `begin`."""
        return self.optuna.patience

    def _make_tables(self) -> None:
        """Create our tables where there are none."""
        Base.metadata.create_all(self.engine)
        with Session(self.engine) as session:
            if session.get(VersionRow, VERSION) is None:
                session.add(VersionRow(version=VERSION))
                session.commit()

    @patient
    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """What is stored under a key, or None."""
        with Session(self.engine) as session:
            row = session.get(BaselineRow, (kind, key))
            return None if row is None else dict(row.payload)

    @patient
    def parts(self, kind: str, key: str) -> dict[str, Any] | None:
        """What a key is the digest of, or None where nothing is stored under it."""
        with Session(self.engine) as session:
            row = session.get(BaselineRow, (kind, key))
            return None if row is None else dict(row.parts)

    @patient
    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Store a payload; one that is stored under the key already is replaced."""
        with Session(self.engine) as session:
            session.merge(
                BaselineRow(
                    kind=kind, key=key, parts=parts, payload=payload, created=datetime.now(UTC)
                )
            )
            session.commit()

    def study_names(self) -> list[str]:
        """The studies in the database, oldest first."""
        return [summary.study_name for summary in self.optuna.get_all_studies()]

    def study_attributes(self) -> dict[str, dict[str, Any]]:
        """The attributes of every study, by its name; oldest first."""
        return {each.study_name: each.user_attrs for each in self.optuna.get_all_studies()}

    def study(self, name: str) -> optuna.Study:
        """A study that exists, for reading; else a `UsageError` with names that are near."""
        if not self._has_study(name):
            hint = names_hint(name, self.study_names())
            raise UsageError(f"no study {name!r} in {hidden(self.url)}; {hint}")
        return bypass_trial_cache(optuna.load_study(study_name=name, storage=self.optuna))

    def _has_study(self, name: str) -> bool:
        """Whether there is a study of this name; the others, maybe many, are not read."""
        try:
            self.optuna.get_study_id_from_name(name)
        except (KeyError, UnicodeEncodeError):  # halves of surrogate pairs cannot be stored
            return False
        return True

    def open_study(self, triple: str, evaluation: dict[str, Any]) -> optuna.Study:
        """The study of a triple that is evaluated in this way; created when there is none.

        The first way of evaluating a triple is named after the triple; any other one gets a suffix
        that lists the differences.
        """
        name = triple
        if self._has_study(triple):
            # A study without an evaluation was just created by another process, for this one.
            first = self.study(triple).user_attrs.get("evaluation", evaluation)
            now, before = _flat(evaluation), _flat(first)
            keys = [*now, *(k for k in before if k not in now)]
            new = {k: now.get(k, "none") for k in keys if before.get(k) != now.get(k)}
            if new:
                suffix = ",".join(f"{k}={_short(v)}" for k, v in new.items())
                name = self._own_name(f"{triple} {suffix}", evaluation)
        study = optuna.create_study(
            study_name=name,
            storage=self.optuna,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        if "evaluation" not in study.user_attrs:
            study.set_user_attr("evaluation", evaluation)
            with warnings.catch_warnings():  # Optuna calls the names of metrics experimental
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(["speedup", "score loss"])
        created(lambda: index_by_state(study))
        return study

    def _own_name(self, wanted: str, evaluation: dict[str, Any]) -> str:
        """A name that no other way of evaluating has; a digest is added where it was cut short."""
        name = wanted[:NAME_LENGTH]
        if self._has_study(name):
            stored = self.study(name).user_attrs.get("evaluation", evaluation)
            if stored != evaluation:
                digest = _digest(json.dumps(evaluation, sort_keys=True))
                name = f"{wanted[: NAME_LENGTH - len(digest) - 1]} {digest}"
        return name

    def open_sweep(self, name: str, evaluation: dict[str, Any]) -> optuna.Study:
        """A study that may have very many trials, named as in `open_study`."""
        return bypass_trial_cache(self.open_study(name, evaluation))


class _Plain:
    """Runs SQL text on a connection of SQLAlchemy."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def execute(self, query: str) -> Any:
        return self.connection.execute(text(query))


def _tune(engine: Engine) -> None:
    """Set connections up for several processes that use the database, of which some may vanish."""
    commands = SETTINGS.get(engine.dialect.name)
    if commands is None:
        return

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, address.MOST_BYTES)
        cursor = connection.cursor()
        for command in commands:
            cursor.execute(command)
        cursor.close()
        connection.commit()


def _flat(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The conditions with those that are tables, such as a call's arguments, one by one."""
    flat: dict[str, Any] = {}
    for name, value in evaluation.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def _short(value: Any) -> str:
    """At most 40 characters; different values stay different."""
    text = str(value).replace("/", "-")
    return text if len(text) <= 40 else f"{text[:33]} {_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
