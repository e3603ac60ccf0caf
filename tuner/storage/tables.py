"""Our own tables, which share a database with Optuna's."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Double, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

VERSION = 1  # of these tables; a newer database is refused


class Base(DeclarativeBase):
    """Base class of our own tables."""


class BaselineRow(Base):
    """A baseline's scores, latency or picture, under a digest of everything that changes them."""

    __tablename__ = "tuner_baselines"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    parts: Mapped[dict[str, Any]] = mapped_column(JSON)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class HeartbeatRow(Base):
    """The last heartbeat of a running trial; the process that deletes it ends the trial."""

    __tablename__ = "tuner_heartbeats"
    trial: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    clock: Mapped[str | None] = mapped_column(String(128))  # which clock; see `worker.clock`
    at: Mapped[float] = mapped_column(Double)  # seconds of that clock; a new value at each beat


class ClaimRow(Base):
    """Work that one process does for all: its name, its worker, and that one's last heartbeat."""

    __tablename__ = "tuner_claims"
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    worker: Mapped[str] = mapped_column(String(512))  # as in `worker.Worker`
    clock: Mapped[str | None] = mapped_column(String(128))
    at: Mapped[float] = mapped_column(Double)


class VersionRow(Base):
    """The version of our own tables."""

    __tablename__ = "tuner_version"
    version: Mapped[int] = mapped_column(primary_key=True)
