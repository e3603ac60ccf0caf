"""Two machines at one study: each decides by what was timed on it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.landscape import Bench, measurement
from tuner.errors import BadPictureError
from tuner.limits import Limits
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.verify import verify
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.baseline import keep_baseline
from tuner.study.results import Result, read_results

LIMITS = Limits(score_loss=0.5)
FASTEST = {"deepcache": {"cache_interval": 5, "cache_branch_id": 1}}


class Two(Bench):
    """Four settings, of 1.3× to 1.6×, as a machine times them."""

    def __init__(self, folder: Path, machine: str, factor: float = 1.0, **changes: object) -> None:
        knobs = {"deepcache": {"cache_interval": (3, 5), "cache_branch_id": (0, 1)}}
        asked = {"sampler": "frontier", "search_targets": ("deepcache",), "knobs": knobs}
        asked |= {"trials": 20, "req_score_loss": 0.5}
        super().__init__(folder, **asked | changes)  # type: ignore[arg-type]
        self.machine, self.factor, self.seen = machine, factor, 0
        keep_baseline(self.study, self.look(Setting()))

    def look(self, setting: Setting) -> Measurement:
        found = replace(measurement(setting), latency_key=self.machine)
        value = 1 + (found.speedup.value - 1) * self.factor
        return replace(found, speedup=Estimate(value=value, low=value - 0.01, high=value + 0.01))

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        self.measured.append(setting)
        yield self.look(setting)

    def verify(self, goal: Goal, **given: Any) -> Result | None:
        def again(result: Result) -> Iterator[Measurement]:
            self.seen += 1
            yield self.look(result.setting)

        return verify(self.study, goal, again, lambda result: None, **given)

    @property
    def fastest(self) -> Result:
        found = read_results(self.study)
        return next(trial for trial in found if trial.setting.params == FASTEST)

    def fastest_is_feasible(self) -> bool:
        """By the constraints that Optuna keeps."""
        study = Storage(self.storage.url).study(self.study.study_name)
        return all(excess <= 0 for excess in study.trials[self.fastest.trial].constraints.values())


@pytest.mark.parametrize("sampler", ["frontier", "random"])
def test_a_target_that_no_figure_of_another_machine_promises_is_searched_for_here(
    sampler: str, tmp_path: Path
) -> None:
    first = Two(tmp_path, "old", 0.5)
    first.search()
    assert max(result.speedup.value for result in read_results(first.study)) < 1.35
    here = Two(tmp_path, "new", sampler=sampler, trials=60, req_speedup=1.55)
    here.search()
    assert len(set(here.measured)) == len(here.measured) > 0  # each once
    found = here.verify(Goal.of(here.spec))
    assert found is not None and found.speedup.value == pytest.approx(1.6)


def test_a_loss_over_the_limit_is_not_measured_again_on_another_machine(tmp_path: Path) -> None:
    first = Two(tmp_path, "old", req_score_loss=0.009)
    first.search()
    within = {
        result.setting for result in read_results(first.study) if result.score_loss.value < 0.009
    }
    here = Two(tmp_path, "new", req_score_loss=0.009, req_speedup=9.0)
    here.search()
    assert set(here.measured) - {Setting()} == within - {Setting()}


def test_after_a_change_the_first_winner_is_measured_and_no_more_once_the_time_is_up(
    tmp_path: Path,
) -> None:
    Two(tmp_path, "old").search()
    here, told = Two(tmp_path, "new", 0.1), list[str]()
    late = Deadline.after(0.0)
    assert here.verify(Goal.of(here.spec), deadline=late, notice=told.append) is None
    assert (here.seen, len(told)) == (1, 1)
    assert sum(not result.current for result in read_results(here.study)) >= 3
    assert here.verify(Goal.of(here.spec), notice=told.append) is not None
    assert len(told) == 2


def test_what_broke_off_is_tried_again_on_another_machine_and_in_the_next_run(
    tmp_path: Path,
) -> None:
    first = Two(tmp_path, "old")
    first.search()
    goal, failed = Goal.of(first.spec), set[Setting]()

    def fails(error: Exception, bench: Two) -> Result | None:
        def again(result: Result) -> Iterator[Measurement]:
            bench.seen += 1
            if result.speedup.value > 1.55:
                raise error
            yield bench.look(result.setting)

        return verify(bench.study, goal, again, lambda result: None, failed=failed)

    for _ in range(2):  # one run: it is tried in vain once, and that is twice
        assert fails(RuntimeError("out of memory"), first) != first.fastest
        assert first.seen == 3
    assert not first.fastest_is_feasible()
    there = Two(tmp_path, "new")
    there.search()  # nothing is left to try; what is stored is judged for this machine
    assert there.fastest_is_feasible()
    failed.clear()
    found = first.verify(goal)
    assert found is not None and found.setting == first.fastest.setting
    assert first.fastest_is_feasible()
    fails(BadPictureError("black"), there)
    seen = there.seen
    assert there.verify(goal) != there.fastest and there.seen == seen
    assert first.fastest.verified_now  # each machine has its own


def test_two_machines_at_one_study_keep_their_own_day(tmp_path: Path) -> None:
    one = Two(tmp_path, "one")
    one.search()
    other = Two(tmp_path, "other", 0.1)
    goal = Goal(limits=LIMITS, speedup=1.2)
    assert all(result.current for result in read_results(one.study))
    assert not any(result.current for result in read_results(other.study))
    assert other.verify(goal) is None and other.seen == 4
    for _ in range(3):
        keep_baseline(other.study, other.look(Setting()))
        found = one.verify(goal)
        assert found is not None and found.verified_now and one.seen == 1
    assert other.verify(goal) is None and other.seen == 4
