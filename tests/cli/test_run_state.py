"""What is known of a run: the time left, and the front while results change."""

from pathlib import Path

from tests.cli.stored import KNOBS, searched
from tests.helpers.simulated import Bench, over_the_limit
from tuner.cli.run_state import RunState
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.results import read_results

SETTING = Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def after_trials(spec: StudySpec, count: int, seconds: float) -> tuple[RunState, Clock]:
    clock = Clock()
    state = RunState(spec, clock)
    for number in range(count + 1):
        state.advanced(number, spec.trials or 0)
        state.trial_began(number, SETTING)
        clock.now += seconds
    clock.now -= seconds
    return state, clock


def test_the_time_left_is_that_of_the_trials_left() -> None:
    state, _ = after_trials(StudySpec(trials=10), 4, 60.0)
    assert state.left_s == 360.0


def test_the_deadline_ends_a_search_before_its_last_trial() -> None:
    state, clock = after_trials(StudySpec(trials=100, timeout=300.0), 4, 60.0)
    assert state.left_s == 60.0
    clock.now += 1000
    assert state.left_s == 0.0


def test_during_a_verification_the_time_left_is_unknown() -> None:
    state, _ = after_trials(StudySpec(trials=10), 4, 60.0)
    state.verification_began(SETTING)
    assert state.left_s is None


def test_after_the_last_trial_the_time_left_is_unknown() -> None:
    state, _ = after_trials(StudySpec(trials=4), 4, 60.0)
    assert state.left_s is None


def test_a_run_that_continues_knows_the_front_and_the_best_at_once(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    state = RunState(bench.spec)
    state.study_began(bench.study, lambda: 0.0)
    assert [str(result.setting) for result in state.front][-1] == "deepcache 5/0"
    assert state.best is not None
    assert state.best.speedup.value == 1.5


def test_a_setting_whose_verification_misses_the_limit_is_no_longer_the_best(
    tmp_path: Path,
) -> None:
    bench = searched(tmp_path)
    state = RunState(bench.spec)
    state.study_began(bench.study, lambda: 0.0)
    best = state.best
    assert best is not None
    stored = bench.study.trials[best.trial].user_attrs
    bench.study.set_user_attr("verified", {str(best.trial): [over_the_limit(stored)]})
    state.verified(next(r for r in read_results(bench.study) if r.trial == best.trial))
    assert state.best is not None
    assert state.best.speedup.value == 1.3


def test_a_sweep_keeps_its_front_without_reading_all_its_trials(
    tmp_path: Path, monkeypatch: object
) -> None:
    bench = Bench(tmp_path, search_targets=("deepcache",), knobs=KNOBS, sampler="grid", trials=None)
    state = RunState(bench.spec)
    state.study_began(bench.study, lambda: 0.0)
    bench.search(observer=state)
    results = read_results(bench.study)
    assert state.best == max(results, key=lambda result: result.speedup.value)
    assert {result.setting for result in state.front} == {result.setting for result in results}
