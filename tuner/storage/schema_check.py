"""Checking the schema of Optuna's tables without alembic, which takes long to import.

Optuna asks alembic for the revision of the tables each time that it opens a database, which is a
quarter of the time that `tuner show` takes. The tables also name the version of Optuna that made or
upgraded them. If that is the installed one, their revision is the one that it expects.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.storages._rdb import storage as optuna_storage
from sqlalchemy import inspect, text

_REVISION = text("SELECT version_num FROM alembic_version")
_MADE_BY = text("SELECT library_version FROM version_info")
_VersionManager = optuna_storage._VersionManager


class _VersionChecked(_VersionManager):
    """Leaves tables to alembic unless they have a revision and the installed Optuna made them."""

    def _init_alembic(self) -> None:
        if not self._made_by_this_version():
            super()._init_alembic()

    def check_table_schema_compatibility(self) -> None:
        if not self._made_by_this_version():
            super().check_table_schema_compatibility()

    def _made_by_this_version(self) -> bool:
        if not inspect(self.engine).has_table("alembic_version"):
            return False
        with self.engine.connect() as connection:
            revision = connection.execute(_REVISION).scalar()
            made_by = connection.execute(_MADE_BY).scalar()
        return revision is not None and made_by == optuna.__version__


@contextmanager
def schema_checked_by_version() -> Iterator[None]:
    """Let storages that Optuna opens in the ``with`` block check their schema in this way."""
    optuna_storage._VersionManager = _VersionChecked  # type: ignore[misc]
    try:
        yield
    finally:
        optuna_storage._VersionManager = _VersionManager  # type: ignore[misc]
