"""Several workers on one study: a setting is reserved once, and trials are read once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.postgres import PostgreSQL, missing
from tuner.storage.database import Storage
from tuner.storage.log import log_of

WORKERS = 4


def opened(address: str) -> optuna.Study:
    return Storage(address).open_study("shared", {"made": "up"})


def reserved_at_once(address: str) -> list[bool]:
    """Whether each of several workers, with a connection of its own, got the same value."""
    studies = [opened(address) for _ in range(WORKERS)]
    trials = [study.ask() for study in studies]
    barrier = Barrier(WORKERS)

    def reserve(index: int) -> bool:
        barrier.wait()
        return log_of(studies[index]).reserve(trials[index], "setting", {"tome": {"ratio": 0.5}})

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(reserve, range(WORKERS)))


def test_of_several_workers_one_gets_a_value(tmp_path: Path) -> None:
    assert sum(reserved_at_once(f"sqlite:///{tmp_path}/tuner.db")) == 1


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_of_several_workers_on_postgresql_one_gets_a_value() -> None:
    with PostgreSQL() as server:
        assert sum(reserved_at_once(server.new_database())) == 1


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_workers_that_begin_at_once_create_the_tables_of_a_new_database_together() -> None:
    def open_at_once(address: str) -> set[int]:
        barrier = Barrier(WORKERS)

        def open_study(_: int) -> int:
            barrier.wait()
            return int(opened(address)._study_id)

        with ThreadPoolExecutor(WORKERS) as pool:
            return set(pool.map(open_study, range(WORKERS)))

    with PostgreSQL() as server:
        for _ in range(10):
            assert len(open_at_once(server.new_database())) == 1


def test_a_value_is_free_again_once_its_trial_has_ended(tmp_path: Path) -> None:
    study = opened(f"sqlite:///{tmp_path}/tuner.db")
    first, second = study.ask(), study.ask()
    log = log_of(study)
    assert log.reserve(first, "setting", {"a": 1})
    assert log.reserve(first, "setting", {"a": 1})  # its own
    assert not log.reserve(second, "setting", {"a": 1})
    assert "setting" not in second.user_attrs
    study.tell(first, state=TrialState.FAIL)
    assert log.reserve(second, "setting", {"a": 1})
    assert second.user_attrs["setting"] == {"a": 1}
    assert study.trials[1].user_attrs["setting"] == {"a": 1}


def test_trials_of_other_processes_are_seen_after_one_reading(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/tuner.db"
    here, there = opened(address), opened(address)
    with log_of(here).one_reading():
        assert here.get_trials() == []
        there.ask()
        assert here.get_trials() == []
        assert len(there.get_trials()) == 1
    assert len(here.get_trials()) == 1


def test_attributes_are_stored_together(tmp_path: Path) -> None:
    study = opened(f"sqlite:///{tmp_path}/tuner.db")
    trial = study.ask()
    log_of(study).set_attributes(trial, {"speedup": 2.0, "scores": "30.1 29.9"})
    assert trial.user_attrs["speedup"] == 2.0
    assert study.trials[0].user_attrs["scores"] == "30.1 29.9"
