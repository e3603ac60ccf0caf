"""One database: Optuna's studies, and the table of baselines."""

import hashlib
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Engine,
    String,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tuner import trials
from tuner.errors import UsageError

VERSION = 1  # of our own table; a newer database is refused
WORKER = "worker"  # trial attribute: host and process that runs it
SETTLES = "settles"  # trial attribute: number of the trial whose open verdict it settles
CUT_OFF = "cut_off"  # trial attribute: it ended before its time, and was queued again
LONG = ("scores", "numbers", "ratios", "traceback")  # trial attributes that only an analysis reads
RETRIES = 2  # a crashed trial is tried again this often
GRID = ("grid_id", "search_space")  # trial attributes by which Optuna's GridSampler knows a point
NAMELESS_S = 60  # a trial without a worker's name is given up after this many seconds
Made = TypeVar("Made")


class Base(DeclarativeBase):
    """Our own tables, beside Optuna's."""


class BaselineRow(Base):
    """A baseline's scores, latency or picture, under a digest of everything that changes them."""

    __tablename__ = "tuner_baselines"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    parts: Mapped[dict[str, Any]] = mapped_column(JSON)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class VersionRow(Base):
    """The version of our own tables."""

    __tablename__ = "tuner_version"
    version: Mapped[int] = mapped_column(primary_key=True)


class Storage:
    """Opens the database, and makes it when there is none.

    Raises `UsageError` for an address that cannot be opened, a file of another program, a newer
    version and a folder that cannot be written to; nothing is written then.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open `url`, such as 'sqlite:///tuner.db'; without `create` it must exist."""
        self.url = _full(url)
        engine_options = _check_address(self.url, create)
        try:
            self.engine: Engine = create_engine(self.url, **engine_options)
            if self.engine.dialect.name != "sqlite":  # a file was looked into already
                with self.engine.connect() as connection:
                    tables = set(inspect(self.engine).get_table_names())
                    _check_owner(tables, _Plain(connection), self.url)
            _tune(self.engine)
            _patiently(self._make_tables)
            self.optuna = _patiently(
                lambda: optuna.storages.RDBStorage(self.url, engine_kwargs=engine_options)
            )
            _tune(self.optuna.engine)
            self.optuna.engine.dispose()  # the connection that made its tables is not tuned
        except (SQLAlchemyError, RuntimeError, ModuleNotFoundError) as error:
            raise _unusable(self.url, error) from error

    def _make_tables(self) -> None:
        """Make our tables where there are none."""
        Base.metadata.create_all(self.engine)
        with Session(self.engine) as session:
            if session.get(VersionRow, VERSION) is None:
                session.add(VersionRow(version=VERSION))
                session.commit()

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The payload of a baseline, or None."""
        with Session(self.engine) as session:
            row = session.get(BaselineRow, (kind, key))
            return None if row is None else dict(row.payload)

    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Keep a baseline; one that is there already is replaced."""
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

    def study(self, name: str) -> optuna.Study:
        """A study that exists, to be read; a `UsageError` lists those that do."""
        if name not in self.study_names():
            known = ", ".join(self.study_names()) or "none"
            raise UsageError(f"no study {name!r} in {self.url}; it has: {known}")
        return trials.forget(optuna.load_study(study_name=name, storage=self.optuna))

    def open_study(self, triple: str, evaluation: dict[str, Any]) -> optuna.Study:
        """The study of a triple with this way of evaluating it, made when there is none.

        The first way of evaluating a triple has the triple's name; another one gets a suffix that
        says in what it differs.
        """
        name = triple
        if triple in self.study_names():
            # A study without one was made by another worker a moment ago, for the same purpose.
            first = self.study(triple).user_attrs.get("evaluation", evaluation)
            keys = [*evaluation, *(k for k in first if k not in evaluation)]
            now = {k: evaluation.get(k, "none") for k in keys if first.get(k) != evaluation.get(k)}
            if now:
                name = f"{triple} " + ",".join(f"{k}={_short(v)}" for k, v in now.items())
        study = optuna.create_study(
            study_name=name[:500],
            storage=self.optuna,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        if "evaluation" not in study.user_attrs:
            study.set_user_attr("evaluation", evaluation)
            study.set_metric_names(["speedup", "score loss"])
        return study

    def open_replay(self, name: str, evaluation: dict[str, Any]) -> optuna.Study:
        """A study of as many trials as there may be, named as in `open_study`."""
        study = trials.forget(self.open_study(name, evaluation))
        trials.index_by_state(study)
        return study

    def bury_dead_trials(self, study: optuna.Study) -> int:
        """Fail the trials whose process on this machine is gone, and queue them again.

        One that is queued again counts for nothing.
        """
        buried = 0
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if WORKER in trial.user_attrs:
                host, _, process = str(trial.user_attrs[WORKER]).partition(":")
                if host != socket.gethostname() or _is_alive(process):
                    continue
            elif trial.datetime_start is None or _age_s(trial.datetime_start) < NAMELESS_S:
                continue
            self.optuna.set_trial_user_attr(
                trial._trial_id, "reason", "its process ended before the trial did"
            )
            again = next_try(trial)
            if again is not None:
                self.optuna.set_trial_user_attr(trial._trial_id, CUT_OFF, True)
            self.optuna.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            if again is not None:
                study.add_trial(again)
            buried += 1
        return buried

    def judge_again(
        self,
        study: optuna.Study,
        limits: dict[str, Any],
        constraints: Callable[[int, dict[str, Any]], list[float]],
    ) -> None:
        """Store the constraints of every finished trial for changed limits.

        `constraints` makes them from a trial's number and attributes.
        """
        if study.user_attrs.get("limits") == limits:
            return
        ended = trials.attributes(study, *trials.ENDED, without=LONG)
        trials.judge(
            study,
            {
                trial: constraints(number, kept)
                for trial, number, kept in ended
                if "score_loss" in kept
            },
        )
        study.set_user_attr("limits", limits)


def check_address(url: str) -> None:
    """Raise `UsageError` for a database that could not be used; writes nothing."""
    _check_address(_full(url), create=True)


def _full(url: str) -> str:
    return url if "://" in url else f"sqlite:///{url}"


def _patiently(make: Callable[[], Made]) -> Made:
    """Make tables while another process may be making the same, Optuna's as well as ours."""
    for _ in range(9):
        try:
            return make()
        except (OperationalError, IntegrityError):
            time.sleep(0.2)
    return make()


def _unusable(url: str, error: Exception) -> UsageError:
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return UsageError(f"cannot use the database {url}: {reason}; give --storage another file")


def _look_inside(path: Path, url: str) -> None:
    """Check whose database a file is, without changing a byte of it or beside it."""
    # Without a journal beside it nobody writes: "immutable" then keeps SQLite from making one.
    quiet = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro{quiet}", uri=True)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        _check_owner({name for (name,) in rows}, connection, url)
    except sqlite3.Error as error:
        raise _unusable(url, error) from error
    finally:
        connection.close()


def _check_owner(tables: set[str], connection: Any, url: str) -> None:
    if tables and not any(name.startswith("tuner_") for name in tables):
        raise UsageError(
            f"{url} belongs to another program (it has a table {sorted(tables)[0]!r}); "
            "give --storage another file"
        )
    if "tuner_version" in tables:
        query = "SELECT MAX(version) FROM tuner_version"
        ((newest,),) = connection.execute(query).fetchall()
        if newest is not None and newest > VERSION:
            raise UsageError(
                f"{url} was made by a newer version of the tuner ({newest} > {VERSION}); "
                "update the tuner, or give --storage another file"
            )


class _Plain:
    """Runs plain SQL on a connection of SQLAlchemy."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def execute(self, query: str) -> Any:
        return self.connection.execute(text(query))


def _age_s(moment: datetime) -> float:
    """Seconds since a moment that Optuna wrote, in this machine's own time."""
    return (datetime.now() - moment).total_seconds()


def worker_name() -> str:
    """This process, as a trial's attribute names it."""
    return f"{socket.gethostname()}:{os.getpid()}/{_start_of(os.getpid())}"


def next_try(trial: FrozenTrial, *, counts: bool = True) -> FrozenTrial | None:
    """What is queued for a crashed trial: its values, unless that was done `RETRIES` times.

    A try that was no fault of the trial's does not count.
    """
    tries = int(trial.user_attrs.get("tries", 1))
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    point = {name: trial.system_attrs[name] for name in GRID if name in trial.system_attrs}
    if SETTLES in trial.user_attrs:  # whose verdict is still open the next time
        return None
    if tries + counts > RETRIES + 1 or not (params or point):
        return None
    return create_trial(
        state=TrialState.WAITING,
        system_attrs={"fixed_params": params, **point},
        user_attrs={"tries": tries + counts},
    )


def _is_alive(process: str) -> bool:
    number, _, started = process.partition("/")
    return number.isdigit() and _start_of(int(number)) == started and started != ""


def _start_of(process: int) -> str:
    """When a process began, so that a number used again is not mistaken for it; '' when gone."""
    import psutil

    try:
        return str(int(psutil.Process(process).create_time()))
    except psutil.Error:
        return ""


def _check_address(url: str, create: bool) -> dict[str, Any]:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(f"{url!r} is no database; try sqlite:///tuner.db") from error
    if not parsed.drivername.startswith("sqlite"):
        return {}
    if not parsed.database or parsed.database == ":memory:":
        raise UsageError("the database must be a file; try sqlite:///tuner.db")
    path = Path(parsed.database)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give --storage a file, such as sqlite:///tuner.db")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(16)
        if start and start != b"SQLite format 3\0":
            raise UsageError(f"{path} is no SQLite database; give --storage another file")
        if start:
            _look_inside(path, url)
        if not os.access(path, os.W_OK):
            raise UsageError(f"{path} cannot be written to; give --storage another file")
    elif not create:
        raise UsageError(f"there is no database {path}; `tuner run` makes one")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}; make it, or give --storage another")
    if not _can_write(path.parent):
        raise UsageError(f"the folder {path.parent} cannot be written to; give --storage another")
    return {"connect_args": {"timeout": 60}}


def _can_write(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    return not os.statvfs(folder).f_flag & os.ST_RDONLY


def _tune(engine: Engine) -> None:
    """SQLite's default settings lock up with several workers."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()


def _short(value: Any) -> str:
    """At most 40 letters, others for another value."""
    text = str(value).replace("/", "-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return text if len(text) <= 40 else f"{text[:33]} {digest}"
