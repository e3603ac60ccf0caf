"""Two machines that work on one study: each uses only the timings that it has made itself."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.simulated import Bench, measurement
from tuner.errors import BadPictureError
from tuner.limits import Limits
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.verify import verify
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.baseline import keep_baseline
from tuner.study.results import Result, read_results

LIMITS = Limits(score_loss=0.5)
FASTEST = {"deepcache": {"cache_interval": 5, "cache_branch_id": 1}}


class OneOfTwo(Bench):
    """Four settings, of 1.3× to 1.6×, as one of two machines times them."""

    def __init__(self, folder: Path, machine: str, factor: float = 1.0, **changes: object) -> None:
        knobs = {"deepcache": {"cache_interval": (3, 5), "cache_branch_id": (0, 1)}}
        values = {"sampler": "frontier", "search_targets": ("deepcache",), "knobs": knobs}
        values |= {"trials": 20, "req_score_loss": 0.5}
        super().__init__(folder, **values | changes)  # type: ignore[arg-type]
        self.machine, self.factor, self.seen = machine, factor, 0
        keep_baseline(self.study, self.measurement_of(Setting()))

    def measurement_of(self, setting: Setting) -> Measurement:
        figures = replace(measurement(setting), latency_key=self.machine)
        value = 1 + (figures.speedup.value - 1) * self.factor
        return replace(figures, speedup=Estimate(value=value, low=value - 0.01, high=value + 0.01))

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        yield self.measurement_of(setting)

    def verify(self, goal: Goal, **options: Any) -> Result | None:
        def measure_again(result: Result, rule: StoppingRule) -> Iterator[Measurement]:
            self.seen += 1
            yield self.measurement_of(result.setting)

        return verify(self.study, goal, measure_again, lambda result: None, **options)

    @property
    def fastest(self) -> Result:
        results = read_results(self.study)
        return next(trial for trial in results if trial.setting.params == FASTEST)

    def fastest_is_feasible(self) -> bool:
        """By the constraints that are stored for Optuna."""
        study = Storage(self.storage.url).study(self.study.study_name)
        return all(excess <= 0 for excess in study.trials[self.fastest.trial].constraints.values())


@pytest.mark.parametrize("sampler", ["frontier", "random"])
def test_a_target_that_was_out_of_reach_on_another_machine_is_searched_for_on_this_one(
    sampler: str, tmp_path: Path
) -> None:
    first = OneOfTwo(tmp_path, "old", 0.5)
    first.search()
    assert max(result.speedup.value for result in read_results(first.study)) < 1.35
    moved = OneOfTwo(tmp_path, "new", sampler=sampler, trials=60, req_speedup=1.55)
    moved.search()
    assert len(set(moved.measured)) == len(moved.measured) > 0  # each once
    verified = moved.verify(Goal.of(moved.spec))
    assert verified is not None and verified.speedup.value == pytest.approx(1.6)


def test_a_loss_over_the_limit_is_not_measured_again_on_another_machine(tmp_path: Path) -> None:
    first = OneOfTwo(tmp_path, "old", req_score_loss=0.009)
    first.search()
    within = {
        result.setting for result in read_results(first.study) if result.score_loss.value < 0.009
    }
    moved = OneOfTwo(tmp_path, "new", req_score_loss=0.009, req_speedup=9.0)
    moved.search()
    assert set(moved.measured) - {Setting()} == within - {Setting()}


def test_after_a_change_of_machine_one_candidate_is_verified_although_the_time_is_up(
    tmp_path: Path,
) -> None:
    OneOfTwo(tmp_path, "old").search()
    moved, notices = OneOfTwo(tmp_path, "new", 0.1), list[str]()
    late = Deadline.after(0.0)
    assert moved.verify(Goal.of(moved.spec), deadline=late, notice=notices.append) is None
    assert (moved.seen, len(notices)) == (1, 1)
    assert sum(not result.current for result in read_results(moved.study)) >= 3
    assert moved.verify(Goal.of(moved.spec), notice=notices.append) is not None
    assert len(notices) == 2


def test_a_failed_verification_is_repeated_on_another_machine_and_in_the_next_run(
    tmp_path: Path,
) -> None:
    first = OneOfTwo(tmp_path, "old")
    first.search()
    goal, failed = Goal.of(first.spec), set[Setting]()

    def verify_failing(error: Exception, bench: OneOfTwo) -> Result | None:
        def measure_again(result: Result, rule: StoppingRule) -> Iterator[Measurement]:
            bench.seen += 1
            if result.speedup.value > 1.55:
                raise error
            yield bench.measurement_of(result.setting)

        return verify(bench.study, goal, measure_again, lambda result: None, failed=failed)

    for _ in range(2):  # in one run it is verified once, which fails twice
        assert verify_failing(RuntimeError("out of memory"), first) != first.fastest
        assert first.seen == 3
    assert not first.fastest_is_feasible()
    other = OneOfTwo(tmp_path, "new")
    other.search()  # nothing is left to try; the stored constraints are updated for this machine
    assert other.fastest_is_feasible()
    failed.clear()
    verified = first.verify(goal)
    assert verified is not None and verified.setting == first.fastest.setting
    assert first.fastest_is_feasible()
    verify_failing(BadPictureError("black"), other)
    seen = other.seen
    assert other.verify(goal) != other.fastest and other.seen == seen
    assert first.fastest.verified_now  # each machine has its own verification


def test_two_machines_at_one_study_each_keep_their_own_baseline(tmp_path: Path) -> None:
    first = OneOfTwo(tmp_path, "one")
    first.search()
    other = OneOfTwo(tmp_path, "other", 0.1)
    goal = Goal(limits=LIMITS, speedup=1.2)
    assert all(result.current for result in read_results(first.study))
    assert not any(result.current for result in read_results(other.study))
    assert other.verify(goal) is None and other.seen == 4
    for _ in range(3):
        keep_baseline(other.study, other.measurement_of(Setting()))
        verified = first.verify(goal)
        assert verified is not None and verified.verified_now and first.seen == 1
    assert other.verify(goal) is None and other.seen == 4
