"""A study that others search is followed from the database: each thing is reported once."""

from collections.abc import Callable
from pathlib import Path

import optuna

from tests.helpers.simulated import Bench, measurement
from tuner.fleet.follow import Follower
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.study.recording import store_verification
from tuner.study.results import Result, read_results
from tuner.study.verifications import Failure


class Reported(Observer):
    """Collects what is reported of trials and verifications."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.verifications: list[Result] = []

    def study_began(self, study: optuna.Study, spent_s: Callable[[], float]) -> None:
        pass

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        self.ended.append(number)

    def verified(self, result: Result) -> None:
        self.verifications.append(result)


def test_each_trial_that_ends_is_reported_once_and_no_verification_with_it(tmp_path: Path) -> None:
    bench, reported = Bench(tmp_path, trials=3, req_score_loss=0.9), Reported()
    follower = Follower(bench.study, bench.spec, reported)
    bench.search()
    follower.look()
    follower.look()
    assert reported.ended == [0, 1, 2]
    assert reported.verifications == []


def test_each_verification_is_reported_once_when_it_is_stored(tmp_path: Path) -> None:
    bench, reported = Bench(tmp_path, trials=3, req_score_loss=0.9), Reported()
    limits = Goal.of(bench.spec).limits
    bench.search()
    first, second, _ = read_results(bench.study)
    store_verification(bench.study, first.trial, measurement(first.setting), limits)
    follower = Follower(bench.study, bench.spec, reported)
    follower.look()
    assert reported.verifications == []  # it was stored before
    store_verification(bench.study, second.trial, Failure(reason="it broke"), limits)
    follower.look()
    follower.look()
    (verified,) = reported.verifications
    assert (verified.trial, verified.failed_again) == (second.trial, "it broke")
