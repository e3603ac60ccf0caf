"""Trials that are read by plain queries are the same as those that Optuna reads."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import create_engine

from tests.helpers.postgres import PostgreSQL, missing
from tuner.storage.database import Storage
from tuner.storage.trial_rows import AT_ONCE, set_user_attributes

NAME = "all kinds"


def filled(address: str) -> optuna.Study:
    """A study with trials of all states, values, parameters and attributes."""
    study = Storage(address).open_study(NAME, {"made": "up"})
    distributions = {
        "float": FloatDistribution(1e-3, 1.0, log=True),
        "int": IntDistribution(1, 9, step=2),
        "choice": CategoricalDistribution(("a", None, 2.5)),
    }
    study.add_trial(
        create_trial(
            values=[float("inf"), float("-inf")],
            params={"float": 0.1, "int": 3, "choice": None},
            distributions=distributions,
            user_attrs={"setting": {"tome": {"ratio": 0.5}}, "ümlaut": "日本", "nothing": None},
            system_attrs={"constraints": [0.25]},
            intermediate_values={0: 1.5, 7: float("nan"), 8: float("-inf")},
        )
    )
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs={"score": 1e300}))
    study.add_trial(create_trial(state=TrialState.FAIL, system_attrs={"fail_reason": "it broke"}))
    study.enqueue_trial({"int": 5}, user_attrs={"queued": True})
    running = study.ask(distributions)
    running.set_user_attr("begun", [1, 2])
    study.add_trials(
        create_trial(values=[float(number), 0.0], user_attrs={"number": number})
        for number in range(AT_ONCE + 3)
    )
    return study


def assert_same(address: str) -> None:
    ours, theirs = filled(address), RDBStorage(address)
    study_id = theirs.get_study_id_from_name(NAME)
    expected = theirs.get_all_trials(study_id)
    assert {trial.state for trial in expected} > {TrialState.RUNNING, TrialState.PRUNED}
    assert texts(ours.get_trials()) == texts(expected)
    storage = Storage(address).optuna
    for state in TrialState:
        in_state = theirs.get_all_trials(study_id, states=(state,))
        assert texts(storage.get_all_trials(study_id, states=(state,))) == texts(in_state)
    for trial in expected[:6]:
        assert texts([storage.get_trial(trial._trial_id)]) == texts([trial])


def texts(trials: list[FrozenTrial]) -> list[str]:
    """Everything that trials hold; attributes have no order, and two NaN are equal as texts."""
    return [
        repr(vars(trial) | {"_user_attrs": sorted(trial.user_attrs.items())}) for trial in trials
    ]


def test_every_kind_of_trial_is_read_like_optuna_reads_it(tmp_path: Path) -> None:
    assert_same(f"sqlite:///{tmp_path}/tuner.db")


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_every_kind_of_trial_is_read_from_postgresql_like_optuna_reads_it() -> None:
    with PostgreSQL() as server:
        assert_same(server.new_database())


def test_what_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    storage = Storage(f"sqlite:///{tmp_path}/tuner.db").optuna
    with pytest.raises(KeyError, match="no trial has the id 12"):
        storage.get_trial(12)
    with pytest.raises(KeyError, match="no study has the id 12"):
        storage.get_all_trials(12)


def test_attributes_are_stored_together_and_replace_earlier_ones(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/tuner.db"
    study = Storage(address).open_study(NAME, {"made": "up"})
    trial = study.ask()
    trial.set_user_attr("first", 1)
    with create_engine(address).begin() as connection:
        set_user_attributes(connection, trial._trial_id, {"first": [2], "second": "two"})
        set_user_attributes(connection, trial._trial_id, {})
    attributes = study.get_trials()[0].user_attrs
    assert attributes["first"] == [2] and attributes["second"] == "two"
