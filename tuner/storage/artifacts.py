"""Artifacts: files that belong to a study or a trial, and that Optuna's dashboard shows.

They lie in a store of `optuna.artifacts`. Its location is stored with the study, so that any
process finds them.
"""

import io
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol

import optuna
from optuna.artifacts import ArtifactMeta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.storage.address import folder_of
from tuner.storage.artifact_folder import ArtifactFolder
from tuner.storage.log import log_of
from tuner.storage.optuna_names import ARTIFACTS, OURS
from tuner.storage.patient_storage import REMOVED
from tuner.storage.trial_log import storage_of

LOCATION = f"{OURS}artifacts"  # system attribute of a study: where its artifacts are


class ArtifactStore(Protocol):
    """Optuna's interface of a store, which its stores for folders and for clouds implement."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content of an artifact; raises `ArtifactNotFound` where there is none."""

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store the content of an artifact."""

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact; raises `ArtifactNotFound` where there is none."""


def artifact_store_of(study: optuna.Study) -> ArtifactStore | None:
    """The store of a study's artifacts; None where it has none, or where its folder is not here.

    A folder that was moved together with the database's file is found.
    """
    location = system_attributes(study).get(LOCATION)
    if location is None:
        return None
    folders = [Path(location["folder"])]
    relative, database = location.get("from_database"), _database_folder(study)
    if relative is not None and database is not None:
        folders.append(database / relative)
    folder = next((folder for folder in folders if folder.is_dir()), None)
    return None if folder is None else ArtifactFolder(folder)


def kept_elsewhere(study: optuna.Study, folder: Path) -> str | None:
    """A warning that another host keeps the study's artifacts in a folder that is not this one.

    Folders of two hosts are the same if both see the file that marks the folder.
    """
    location = system_attributes(study).get(LOCATION, {})
    host, mark = location.get("host"), location.get("mark")
    if host in (None, socket.gethostname()) or (folder / str(mark)).is_file():
        return None
    return (
        f"warning: the study's pictures so far are in {location['folder']} on {host}, and {folder} "
        "is another folder; the dashboard will find only the pictures of the run that began last; "
        "set pictures to a folder that all hosts share, or to 'none'"
    )


def create_artifact_store(study: optuna.Study, folder: Path) -> ArtifactStore:
    """A store in a folder, which is created; its location is stored with the study."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = system_attributes(study).get(LOCATION, {})
    mark = stored.get("mark")
    if mark is None or not (folder / str(mark)).is_file():
        mark = f".{uuid.uuid4()}"
        (folder / mark).touch()
    location = {"folder": str(folder.absolute()), "host": socket.gethostname(), "mark": mark}
    database = _database_folder(study)
    if database is not None:
        location["from_database"] = os.path.relpath(folder.absolute(), database)
    if stored | {"host": location["host"]} != location:  # hosts may share the folder
        storage_of(study).set_study_system_attr(study._study_id, LOCATION, location)
    return ArtifactFolder(folder)


def system_attributes(study: optuna.Study) -> dict[str, Any]:
    """What a study stores out of sight of the dashboard's pages."""
    attributes: dict[str, Any] = storage_of(study).get_study_system_attrs(study._study_id)
    return attributes


def artifacts_of(study: optuna.Study) -> Iterator[tuple[int | None, ArtifactMeta]]:
    """The artifacts of a study, each with the number of its trial, or None for the study's own."""
    yield from ((None, meta) for meta in metas_among(system_attributes(study)))
    for number, _, value in log_of(study).system_attributes(ARTIFACTS):
        if value != REMOVED:
            yield number, ArtifactMeta(**json.loads(value))


def metas_among(attributes: Mapping[str, Any]) -> list[ArtifactMeta]:
    """The artifacts among the system attributes of a study or a trial."""
    return [
        ArtifactMeta(**json.loads(value))
        for name, value in attributes.items()
        if name.startswith(ARTIFACTS) and value != REMOVED
    ]


def put_artifact(
    study: optuna.Study, store: ArtifactStore, trial: int | None, name: str, content: bytes
) -> str:
    """Store an artifact in place of those of the same name; returns its id.

    Args:
        study: the artifact's study.
        store: where the content goes.
        trial: the number of its trial, which may have ended; None for the study's own artifact.
        name: the file name that people see.
        content: the file's bytes.
    """
    old = [meta for owner, meta in artifacts_of(study) if (owner, meta.filename) == (trial, name)]
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        artifact_id = upload_artifact(
            artifact_store=store,
            file_path=str(file),
            study_or_trial=study if trial is None else log_of(study).trial(trial),
            storage=storage_of(study),
        )
    for meta in old:
        remove_artifact(study, store, trial, meta)
    return artifact_id


def path_of(study: optuna.Study, trial: int | None, artifact_id: str) -> str:
    """Where the dashboard serves an artifact of a trial, by its number, or of the study."""
    owner = "" if trial is None else f"{log_of(study).trial(trial)._trial_id}/"
    return f"/artifacts/{study._study_id}/{owner}{artifact_id}"


def put_hidden(
    study: optuna.Study, store: ArtifactStore, trial: int, name: str, content: bytes
) -> None:
    """Store a file of a trial that the dashboard does not list."""
    artifact_id = str(uuid.uuid4())
    store.write(artifact_id, io.BytesIO(content))
    trial_id = log_of(study).trial(trial)._trial_id
    storage_of(study).set_trial_system_attr(trial_id, OURS + name, artifact_id)


def hidden_of(study: optuna.Study, store: ArtifactStore, trial: int, name: str) -> bytes | None:
    """The content that `put_hidden` stored; None where there is none."""
    artifact_id = log_of(study).trial(trial).system_attrs.get(OURS + name)
    if artifact_id is None:
        return None
    try:
        with store.open_reader(artifact_id) as file:
            return file.read()
    except ArtifactNotFound:
        return None


def remove_artifact(
    study: optuna.Study, store: ArtifactStore, trial: int | None, meta: ArtifactMeta
) -> None:
    """Remove an artifact of a trial, by its number, or of the study."""
    storage, name = storage_of(study), ARTIFACTS + meta.artifact_id
    if trial is None:
        storage.set_study_system_attr(study._study_id, name, REMOVED)
    else:
        storage.set_trial_system_attr(log_of(study).trial(trial)._trial_id, name, REMOVED)
    with suppress(ArtifactNotFound):
        store.remove(meta.artifact_id)


def _database_folder(study: optuna.Study) -> Path | None:
    """The folder of the study's database, if that is a file."""
    url = getattr(storage_of(study), "url", None)
    return None if url is None else folder_of(url)
