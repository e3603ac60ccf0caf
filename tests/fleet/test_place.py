"""What each worker of one host gets of it."""

import os

import pytest

from tuner.errors import UsageError
from tuner.fleet import place as module
from tuner.fleet.place import THREADS, VISIBLE, Place, places


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Five cores that this process may use."""
    five = [0, 1, 4, 5, 7]
    monkeypatch.setattr(module, "own_cores", lambda: five)
    return five


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> int:
    """Three GPUs."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv(VISIBLE, raising=False)
    return 3


def test_each_worker_on_a_cpu_has_as_many_cores_of_its_own(cores: list[int]) -> None:
    assert [place.cores for place in places("cpu", 2)] == [(0, 1), (4, 5)]
    assert [place.cores for place in places("cpu", 5)] == [(core,) for core in cores]


def test_a_cpu_is_one_device(cores: list[int]) -> None:
    assert [place.cores for place in places("cpu", None)] == [tuple(cores)]


@pytest.mark.usefixtures("cores")
def test_more_workers_than_cores_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^6 workers need 6 cores, but .* only 5 cores"):
        places("cpu", 6)


@pytest.mark.usefixtures("gpus")
def test_each_worker_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [place.gpu for place in places(None, None)] == ["0", "1", "2"]
    assert [place.gpu for place in places("cuda", 2)] == ["0", "1"]
    monkeypatch.setenv(VISIBLE, "GPU-a, GPU-b,GPU-c")
    assert [place.gpu for place in places("cuda", 2)] == ["GPU-a", "GPU-b"]


@pytest.mark.usefixtures("gpus")
def test_more_workers_than_gpus_and_a_single_gpu_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^4 workers need 4 GPUs, but .* only 3 GPUs"):
        places("cuda", 4)
    with pytest.raises(UsageError, match="'cuda:1', but each worker gets a GPU of its own"):
        places("cuda:1", 2)


def test_a_worker_computes_in_one_thread_for_each_core_unless_fewer_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(THREADS, raising=False)
    assert Place(cores=(2, 3)).environment == {THREADS: "2"}
    monkeypatch.setenv(THREADS, "1")
    assert Place(cores=(2, 3)).environment == {THREADS: "1"}
    assert Place(gpu="1", cores=()).environment == {VISIBLE: "1"}
    assert Place().environment == {}
    assert os.environ[THREADS] == "1"
