"""Whether anything is left to begin, where a sampler has nothing left to propose."""

from pathlib import Path

import optuna
import pytest

from tests.helpers.simulated import Bench
from tuner.search.runner.progress import has_ended, is_done, is_left_to_others
from tuner.search.sweep.sweep import Ending


class Exhausted(optuna.samplers.RandomSampler, Ending):
    """Has nothing left to propose; counts how often it is asked, which may take a proposal."""

    asked = 0

    def has_ended(self, study: optuna.Study) -> bool:
        self.asked += 1
        return True


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    study = Bench(tmp_path, trials=9).study
    study.sampler = Exhausted()
    return study


def asked(study: optuna.Study) -> int:
    assert isinstance(study.sampler, Exhausted)
    return study.sampler.asked


def test_a_search_has_ended_once_nothing_runs_and_the_sampler_has_nothing_left(
    study: optuna.Study,
) -> None:
    assert has_ended(study) and is_done(study, 9)
    assert not is_left_to_others(study)


def test_a_trial_that_waits_is_begun_before_the_search_has_ended(study: optuna.Study) -> None:
    study.enqueue_trial({})
    assert not has_ended(study) and not is_done(study, 9)
    assert not is_left_to_others(study)
    assert asked(study) == 0


def test_a_trial_that_runs_elsewhere_is_waited_for_because_it_may_fail(
    study: optuna.Study,
) -> None:
    running = study.ask()
    assert not has_ended(study) and not is_done(study, 9)
    assert is_left_to_others(study)
    study.tell(running, state=optuna.trial.TrialState.FAIL)
    assert has_ended(study) and not is_left_to_others(study)
