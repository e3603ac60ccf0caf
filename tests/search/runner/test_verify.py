"""Candidates are verified, fastest first, until one meets the goal, whatever fails in between."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench, measurement
from tuner.cli.answer import answer
from tuner.errors import BadPictureError, DatabaseGoneError, UsageError
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.verify import TRIES, verify
from tuner.setting import Setting
from tuner.study.results import Result, read_results

TOO_MUCH = Estimate(value=0.9, low=0.8, high=0.95)


def bench_in(folder: Path) -> Bench:
    return Bench(folder, search_targets=("deepcache",), trials=40, req_score_loss=0.5)


class Verified:
    """A finished search of DeepCache alone; `seen` lists the settings that were verified."""

    def __init__(self, folder: Path) -> None:
        self.bench = bench_in(folder)
        self.goal = Goal.of(self.bench.spec)
        self.seen: list[Setting] = []

    @property
    def results(self) -> list[Result]:
        return read_results(self.bench.study)

    def fastest(self) -> list[Setting]:
        """The settings that meet the goal by the figures of the search, fastest first."""
        meeting = [result for result in self.results if self.goal.met_by(result)]
        ordered = sorted(meeting, key=lambda result: -result.speedup.value)
        return list(dict.fromkeys(result.setting for result in ordered))

    def verify(self, change: Callable[[Measurement], Measurement]) -> Result | None:
        def measure(result: Result, rule: StoppingRule) -> Iterator[Measurement]:
            self.seen.append(result.setting)
            yield change(measurement(result.setting))

        return verify(self.bench.study, self.goal, measure, lambda result: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished search; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished")
    bench_in(folder).search()
    return folder


@pytest.fixture
def searched(finished: Path, tmp_path: Path) -> Verified:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return Verified(tmp_path)


def test_candidates_are_verified_until_one_meets_the_goal(searched: Verified) -> None:
    fastest = searched.fastest()
    assert len(fastest) > 8
    verified = searched.verify(
        lambda figures: (
            figures if len(searched.seen) == 8 else replace(figures, score_loss=TOO_MUCH)
        )
    )
    assert searched.seen == fastest[:8]
    assert verified is not None and verified.verified is not None
    assert verified.setting == fastest[7]
    assert searched.goal.reached(searched.results) == verified


def test_where_no_verification_meets_the_goal_there_is_no_answer(searched: Verified) -> None:
    fastest = searched.fastest()
    assert searched.verify(lambda figures: replace(figures, score_loss=TOO_MUCH)) is None
    assert searched.seen == fastest
    assert searched.goal.reached(searched.results) is None
    assert answer(searched.bench.study, searched.goal)[0].startswith("no setting met the goal")


def test_a_verified_result_is_not_verified_again(searched: Verified) -> None:
    verified = searched.verify(lambda figures: figures)
    assert searched.verify(lambda figures: figures) == verified
    assert len(searched.seen) == 1


def test_of_settings_that_are_as_fast_only_one_is_verified(tmp_path: Path) -> None:
    searched = Verified(tmp_path)

    def predicted(measured: Measurement, speedup: float) -> Measurement:
        return replace(
            measured,
            speedup=Estimate(value=speedup, low=0.97 * speedup, high=1.03 * speedup),
            speedup_from="model",
        )

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        yield predicted(measurement(setting), 2 + trial / 10000)

    searched.bench.measure = measure  # type: ignore[method-assign]
    searched.bench.search()
    assert len(searched.fastest()) > 8

    def slower(measured: Measurement) -> Measurement:
        return replace(predicted(measured, 1.98), speedup_from=None)

    winner = searched.verify(slower)
    assert len(searched.seen) == 1
    assert winner is not None and winner.speedup.value == pytest.approx(1.98)
    assert searched.goal.reached(searched.results) == winner


@pytest.mark.parametrize(
    ("error", "tries"), [(BadPictureError("picture 1 is black"), 1), (RuntimeError("lost"), TRIES)]
)
def test_a_verification_that_fails_does_not_count_and_the_next_candidate_is_verified(
    error: Exception, tries: int, searched: Verified
) -> None:
    first, second, *_ = searched.fastest()

    def fails(measured: Measurement) -> Measurement:
        if searched.seen[-1] == first:
            raise error
        return measured

    verified = searched.verify(fails)
    assert searched.seen == [first] * tries + [second]
    assert verified is not None and verified.setting == second
    (failed,) = {result.failed_again for result in searched.results if result.setting == first}
    assert failed == str(error)
    misses = searched.goal.misses(
        next(result for result in searched.results if result.setting == first)
    )
    assert [miss.text for miss in misses] == [str(error)]


@pytest.mark.parametrize("kind", [UsageError, DatabaseGoneError])
def test_an_error_that_is_not_of_the_setting_ends_the_verification(
    kind: type[Exception], searched: Verified
) -> None:
    def fails(measured: Measurement) -> Measurement:
        raise kind("no weights, or no database")

    with pytest.raises(kind, match="no weights"):
        searched.verify(fails)
    assert len(searched.seen) == 1
    assert all(result.failed_again is None for result in searched.results)
