"""A folder of artifacts in which a database can name nothing but artifacts."""

import os
import re
import stat
from typing import BinaryIO

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

# Every artifact that Optuna, its dashboard or the tuner stores is named by `uuid.uuid4`.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ArtifactFolder(FileSystemArtifactStore):
    """Optuna's store in a folder, for databases that somebody else may have written.

    Such a database names both the folder and the files in it. Only regular files whose names are
    those of artifacts are read, written and removed, so that it leads to no other file of its user.
    """

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content of an artifact; raises `ArtifactNotFound` where there is none."""
        path = self._get_filepath(_checked(artifact_id))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise ArtifactNotFound(f"cannot read {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ArtifactNotFound(f"{path} is not a regular file")
        return os.fdopen(descriptor, "rb")

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store the content of an artifact."""
        super().write(_checked(artifact_id), content_body)

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact; raises `ArtifactNotFound` where there is none."""
        super().remove(_checked(artifact_id))


def _checked(artifact_id: str) -> str:
    if not isinstance(artifact_id, str) or not _ID.fullmatch(artifact_id):
        raise ArtifactNotFound(f"{artifact_id!r:.80} does not name an artifact")
    return artifact_id
