"""Whether a worker on another host reaches the database of a run, and its pictures."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuner.fleet.member import NOTICE, Member
from tuner.fleet.reach import Reach, marked, network_warning

SERVER = "postgresql+psycopg://tuner:secret@{host}/tuner"


def test_a_worker_on_the_same_machine_reaches_a_file(tmp_path: Path) -> None:
    assert Reach.of(f"sqlite:///{tmp_path / 'tuner.db'}")().refusal == ""


def test_sqlite_is_refused_for_a_worker_on_another_machine(tmp_path: Path) -> None:
    reach = Reach.of(f"sqlite:///{tmp_path / 'tuner.db'}")
    refusal = replace(reach, boot="another", host="node1")().refusal
    assert refusal.startswith("the database is a file on node1, and SQLite works on one host only")
    assert "postgresql+psycopg://" in refusal
    assert replace(reach, boot=None, host="node1")().refusal == refusal


def test_a_container_that_does_not_see_the_folder_is_refused(tmp_path: Path) -> None:
    reach = replace(Reach.of(f"sqlite:///{tmp_path / 'tuner.db'}"), folder=(0, 0))
    refusal = reach().refusal
    assert refusal.startswith(f"it does not see the folder {tmp_path} of the database; set storage")
    assert "postgresql+psycopg://" in refusal


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_on_localhost_is_refused_for_another_machine(host: str) -> None:
    reach = Reach.of(SERVER.format(host=host))
    assert reach().refusal == ""
    refusal = replace(reach, boot="another")().refusal
    assert refusal.startswith(f"the database is on {host}, which on ")
    assert "secret" not in refusal
    assert replace(Reach.of(SERVER.format(host="db7")), boot="another")().refusal == ""


def test_a_database_on_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="ext4"),
        SimpleNamespace(mountpoint=str(tmp_path.resolve()), fstype="nfs4"),
    ]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: mounts)  # noqa: A006
    warning = network_warning(f"sqlite:///{tmp_path / 'tuner.db'}")
    assert warning is not None
    assert "file system (nfs4)" in warning
    assert network_warning("sqlite:////somewhere/tuner.db") is None
    assert network_warning(SERVER.format(host="db7")) is None


def test_a_worker_keeps_pictures_only_in_the_folder_that_the_client_sees(tmp_path: Path) -> None:
    messages: list[dict[str, object]] = []

    def kept(mark: Path | None) -> Path | None:
        member = Member(
            specs=[], pictures=tmp_path, mark=mark, run="", allow_pickle=False, prepare=print
        )
        return member.shared_pictures(messages.append)

    with marked(tmp_path, "monday") as mark:
        assert kept(mark) == tmp_path
    assert messages == []
    assert mark is not None
    assert kept(mark) is None  # as on a host that has another folder of this name
    assert [message["kind"] for message in messages] == [NOTICE]
    assert "is not the folder of `tuner run`" in str(messages[0]["line"])
    assert list(tmp_path.iterdir()) == []
