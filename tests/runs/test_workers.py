"""A worker on several studies, and studies of several devices."""

from pathlib import Path

import pytest
from optuna.trial import FrozenTrial

from tests.runs.study import baselines, spec
from tuner.fleet.worker import work_on
from tuner.measure import device as machine
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of


@pytest.mark.slow
def test_a_worker_goes_on_with_the_next_study_while_another_one_ends_the_first(
    tmp_path: Path, session: Session
) -> None:
    first, second = spec(tmp_path, trials=2), spec(tmp_path, trials=1, steps=5)
    session.run(spec(tmp_path, trials=1))
    storage = Storage(first.storage)
    claim = log_of(storage.study(first.triple)).claim("ending")
    assert claim is not None
    assert claim.take()  # as another worker would that verifies the best setting
    ending = claim.held()

    class EndsElsewhere(Observer):
        def trial_stored(self, trial: FrozenTrial) -> None:
            with ending:
                pass

    def observer(spec: StudySpec) -> Observer:
        return EndsElsewhere() if spec is second else Observer()

    over = [study.triple for study, _ in work_on([first, second], session, observer)]
    assert over == [second.triple, first.triple]


def test_scores_are_shared_by_devices_and_latencies_and_fronts_are_not(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.run(spec(tmp_path, trials=1))
    before = {kind: key for kind, key, _ in baselines(tmp_path)}
    monkeypatch.setattr(machine, "model_of", lambda device: "a faster CPU")
    outcome = session.run(spec(tmp_path, trials=1))
    assert outcome.study.study_name == "miniature/DDIM/4 device=a faster CPU"
    assert log_of(outcome.study).finished() == 1
    names = Storage(spec(tmp_path).storage).study_names()
    assert names == ["miniature/DDIM/4", outcome.study.study_name]
    after = [(kind, key) for kind, key, _ in baselines(tmp_path)]
    scores = [key for kind, key in after if kind == "scores"]
    latencies = [key for kind, key in after if kind == "latency"]
    assert before["scores"] in scores
    assert len(scores) == len({key for kind, key, _ in baselines(tmp_path) if kind == "scores"})
    assert len(latencies) == 2
