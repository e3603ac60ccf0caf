"""The folder of a study's artifacts, where workers on several hosts keep them."""

import socket
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench
from tuner.storage.artifacts import artifact_store_of, create_artifact_store, kept_elsewhere


def test_hosts_that_share_the_folder_keep_its_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = Bench(tmp_path).study, tmp_path / "pictures"
    create_artifact_store(study, folder)
    monkeypatch.setattr(socket, "gethostname", lambda: "node2")
    assert kept_elsewhere(study, folder) is None
    create_artifact_store(study, folder)
    assert artifact_store_of(study) is not None
    assert len(list(folder.iterdir())) == 1


def test_a_host_with_a_folder_of_its_own_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = Bench(tmp_path).study, tmp_path / "pictures"
    assert kept_elsewhere(study, folder) is None
    create_artifact_store(study, folder)
    assert kept_elsewhere(study, tmp_path / "others") is None  # as this host's user wished
    here = socket.gethostname()
    monkeypatch.setattr(socket, "gethostname", lambda: "node2")
    warning = kept_elsewhere(study, tmp_path / "others")
    assert warning is not None
    assert f"are in {folder} on {here}, and {tmp_path / 'others'} is another folder" in warning
