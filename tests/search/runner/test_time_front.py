"""Once a search has ended, the settings of the front are timed in pairs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.helpers.simulated import Bench, measurement
from tuner.errors import TrialError
from tuner.measure.evaluation import Measurement
from tuner.measure.paired_timing import PairedTimings
from tuner.measure.statistics import Estimate
from tuner.measure.stopwatch import Seconds
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.time_front import time_front
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.study.recording import store_verification
from tuner.study.results import Result, read_results

KNOBS = {"deepcache": {"cache_interval": (2, 3, 4), "cache_branch_id": (0,)}}
SLOW, MIDDLE, FAST = FIRST = [
    Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": 0}})
    for interval in (2, 3, 4)
]


class Predicted(Bench):
    """Three settings whose speedups are the model's: 1.2, 1.3 and 1.4; they lose 0.4 to 0.8%.

    That of the second one is known to 15%, the others to 4%.
    """

    def __init__(self, folder: Path, **changes: object) -> None:
        super().__init__(folder, search_targets=("deepcache",), knobs=KNOBS, trials=3, **changes)
        self.search(first=FIRST)
        self.timed: list[Setting] = []
        self.notices: list[str] = []

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        predicted = measurement(setting).speedup.value
        low = predicted / (1.04 if setting != MIDDLE else 1.15)
        yield replace(
            measurement(setting),
            speedup=Estimate(value=predicted, low=low, high=predicted**2 / low),
            speedup_from="model",
            ratios=[],
            predicted=predicted,
            unsteady=None,
        )

    def time(self, setting: Setting) -> PairedTimings:
        """Every setting turns out twice as fast as the baseline."""
        self.timed.append(setting)
        if (error := self.fails(setting)) is not None:
            raise error
        timings = PairedTimings(stored_s=1.0, batch_size=1)
        for _ in range(3):
            timings = timings.plus(
                Seconds(whole=2.0, denoising=1.6), Seconds(whole=1.0, denoising=0.4)
            )
        return timings

    def time_front(self, aim: Aim = "front") -> int:
        goal = Goal.of(self.spec)
        return time_front(self.study, goal, self.time, Deadline(None), self.notices.append, aim)

    def result(self, setting: Setting) -> Result:
        (result,) = (r for r in read_results(self.study) if r.setting == setting)
        return result


def test_feasible_settings_of_the_front_are_timed_fastest_first(tmp_path: Path) -> None:
    bench = Predicted(tmp_path, req_score_loss=0.007)
    assert bench.time_front() == 2
    assert bench.timed == [MIDDLE, SLOW]  # the fastest one is over the limit
    assert bench.notices == []


def test_where_the_front_is_not_the_aim_only_what_is_not_known_to_5_percent_is_timed(
    tmp_path: Path,
) -> None:
    bench = Predicted(tmp_path)
    assert bench.time_front("max") == 1
    assert bench.timed == [MIDDLE]
    assert bench.time_front("combinations") == 0
    assert bench.time_front("front") == 1
    assert bench.timed == [MIDDLE, SLOW]  # FAST is behind MIDDLE now


def test_the_timing_replaces_the_speedup_of_the_trial(tmp_path: Path) -> None:
    bench = Predicted(tmp_path)
    before = bench.result(FAST)
    assert before.speedup_from == "model"
    bench.time_front()
    after = bench.result(FAST)
    assert (after.speedup_from, after.speedup.value) == (None, 2.0)
    assert after.denoising is not None and after.denoising.value == 4.0
    assert after.latency_s == bench.result(MIDDLE).latency_s
    assert after.score_loss == before.score_loss


def test_no_setting_is_timed_twice(tmp_path: Path) -> None:
    bench = Predicted(tmp_path)
    bench.time_front()
    timed = list(bench.timed)
    assert bench.time_front() == 0
    assert bench.timed == timed


def test_a_setting_that_fails_keeps_its_speedup_and_the_others_are_timed(tmp_path: Path) -> None:
    bench = Predicted(tmp_path)
    bench.fails = lambda setting: TrialError("out of memory") if setting == FAST else None
    before = bench.result(FAST)
    bench.time_front()
    assert bench.result(FAST) == before
    assert bench.result(MIDDLE).speedup_from is None
    assert "out of memory" in bench.notices[-1]


def test_a_verification_in_pairs_gives_the_speedup_too(tmp_path: Path) -> None:
    bench = Predicted(tmp_path)
    trial = bench.result(FAST).trial
    goal = Goal.of(bench.spec)
    store_verification(bench.study, trial, measurement(FAST), goal.limits)
    assert bench.result(FAST).speedup_from is None
    bench.time_front()
    assert FAST not in bench.timed
