"""optuna-dashboard for a study database; it has no login."""

import socket
from typing import Any, BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.dashboard.looks import looks
from tuner.errors import UsageError
from tuner.storage.artifacts import ArtifactStore, artifact_store_of
from tuner.storage.database import Storage
from tuner.storage.view import StorageView


class AllArtifacts:
    """The artifacts of every study of a database, each of which has a store of its own.

    Stores are looked up when an artifact is read: studies may be created while the dashboard runs.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content of an artifact of any study."""
        for store in self._stores():
            try:
                return store.open_reader(artifact_id)
            except ArtifactNotFound:
                continue
        raise ArtifactNotFound(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store what a user attaches, in the first study's store that there is."""
        stores = self._stores()
        if not stores:
            raise UsageError("no study of this database has a folder for artifacts")
        stores[0].write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact of any study."""
        for store in self._stores():
            try:
                store.remove(artifact_id)
            except ArtifactNotFound:
                continue

    def _stores(self) -> list[ArtifactStore]:
        studies = (self._storage.study(name) for name in self._storage.study_names())
        stores = [artifact_store_of(study) for study in studies]
        return [store for store in stores if store is not None]


def serve(storage: Storage, host: str, port: int) -> None:
    """Serve until interrupted.

    Whoever reaches the host can read and delete the studies: the dashboard has no login.
    """
    import optuna_dashboard

    view, artifacts = _shown(storage)
    optuna_dashboard.run_server(view, host=host, port=port, artifact_store=artifacts)


def application(storage: Storage) -> Any:
    """The dashboard as a WSGI application, for servers of one's own."""
    import optuna_dashboard

    view, artifacts = _shown(storage)
    return optuna_dashboard.wsgi(view, artifact_store=artifacts)


def _shown(storage: Storage) -> tuple[StorageView, AllArtifacts]:
    return StorageView(storage.optuna, looks()), AllArtifacts(storage)


def check_address(host: str, port: int) -> None:
    """Raise `UsageError` unless a server can listen on a port of an address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError, ValueError, TypeError) as error:
        where = f"port {port}" if host == "127.0.0.1" else f"{host}, port {port}"
        raise UsageError(
            f"cannot listen on {where}: {error}; choose another --port or --host"
        ) from error
