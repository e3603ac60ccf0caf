"""Sweeps in which trials fail, die or are interrupted: every point still has one complete trial."""

from collections import Counter as Count
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.distributions import IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from tests.helpers.simulated import EVALUATION, Bench, setting_of
from tests.search.sweep.small import (
    DEAD,
    POINTS,
    SMALL,
    check_each_point_has_one_complete_trial,
    reopened,
)
from tuner.errors import BadPictureError
from tuner.measure.evaluation import Measurement
from tuner.search.space import Space
from tuner.search.sweep import grid as module
from tuner.search.sweep.grid import Grid, grid
from tuner.search.sweep.sweep import Reach
from tuner.setting import Setting
from tuner.storage.cursor import points_taken
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.optuna_names import POINT
from tuner.storage.retries import RETRIES
from tuner.storage.worker import WORKER


@pytest.mark.parametrize("suggested", range(5))
def test_a_point_whose_process_died_is_run_again(small: Bench, suggested: int) -> None:
    """Whenever it died: after it took the point, or after any of its numbers was written."""
    for _ in range(2):
        trial = small.study.ask()
        for name, values in list(Space.of(small.spec).offered().items())[:suggested]:
            bounds = Space.of(small.spec).distributions()[name]
            suggest = (
                trial.suggest_int if isinstance(bounds, IntDistribution) else trial.suggest_float
            )
            assert suggest(name, bounds.low, bounds.high, step=bounds.step) in values
        trial.set_user_attr(WORKER, DEAD)
    trials = reopened(small).search()
    assert [trial.state for trial in trials].count(TrialState.FAIL) == 2
    assert all(WORKER in trial.user_attrs for trial in trials)
    check_each_point_has_one_complete_trial(small)


def test_a_trial_that_died_before_it_had_a_point_takes_none(small: Bench) -> None:
    sweep, small.study.sampler = small.study.sampler, RandomSampler()  # which takes no point
    lost = small.study.ask()
    small.study.sampler = sweep
    lost.set_user_attr(WORKER, DEAD)
    assert POINT not in log_of(small.study).stored(lost).system_attrs
    reopened(small).search()
    check_each_point_has_one_complete_trial(small)


def test_a_point_has_a_worker_from_the_moment_it_is_taken(small: Bench) -> None:
    trial = small.study.ask()
    stored = log_of(small.study).stored(trial)
    assert WORKER in stored.user_attrs
    assert points_taken(small.study) == {stored.system_attrs[POINT]}


@pytest.mark.parametrize("which", [0, POINTS - 1])
def test_a_point_that_fails_once_is_retried(small: Bench, which: int) -> None:
    calls = iter(range(99))
    small.fails = lambda setting: RuntimeError("once") if next(calls) == which else None
    trials = small.search()
    assert len(trials) == POINTS + 1
    check_each_point_has_one_complete_trial(small)


def test_after_its_retries_a_point_that_always_fails_is_skipped(small: Bench) -> None:
    bad = Setting.of(
        {
            "deepcache": {"cache_interval": 4, "cache_branch_id": 2},
            "tome": {"ratio": 0.5, "max_downsample": 1},
        }
    )
    small.fails = lambda setting: RuntimeError("always") if setting == bad else None
    small.search()
    assert Count(small.measured)[bad] == 1 + RETRIES
    assert set(Count(small.measured).values()) == {1, 1 + RETRIES}
    assert len(small.study.get_trials(states=(TrialState.COMPLETE,))) == POINTS - 1
    resumed = reopened(small)
    resumed.search()
    assert resumed.measured == []


def test_a_point_with_broken_pictures_is_not_retried(small: Bench) -> None:
    calls = iter(range(99))
    small.fails = lambda setting: BadPictureError("black") if next(calls) == 3 else None
    assert len(small.search()) == POINTS
    assert set(Count(small.measured).values()) == {1}


def test_an_interruption_does_not_count_as_a_failure_of_the_point(small: Bench) -> None:
    def interrupt(setting: Setting, trial: int) -> Iterator[Measurement]:
        raise KeyboardInterrupt
        yield

    bench = small
    for _ in range(RETRIES + 2):
        bench = reopened(small)
        bench.measure = interrupt  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            bench.search()
    reopened(small).search()
    check_each_point_has_one_complete_trial(small)


def test_several_workers_never_take_the_same_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    bench = Bench(tmp_path, **SMALL)

    def take_five(worker: int) -> list[int]:
        storage = Storage(bench.storage.url)
        study = storage.open_sweep(bench.spec.triple, EVALUATION)
        study.sampler = grid(Space.of(bench.spec), bench.spec.seed)
        trials = [study.ask() for _ in range(5)]
        return [log_of(study).stored(trial).system_attrs[POINT] for trial in trials]

    with ThreadPoolExecutor(3) as pool:
        taken = [point for points in pool.map(take_five, range(3)) for point in points]
    assert len(taken) == len(set(taken)) == 15
    assert bench.study.sampler.reach(bench.study).left == 1  # type: ignore[attr-defined]


def test_a_worker_that_gets_no_point_fails_its_trial_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    bench = Bench(tmp_path, **SMALL)
    for _ in range(POINTS - 1):
        bench.study.tell(bench.study.ask(), state=TrialState.FAIL)
    # As if this worker had read the progress before another one took the last but one point.
    monkeypatch.setattr(Grid, "reach", lambda sampler, study: Reach(passed=0, points=POINTS))
    bench.spec = replace(bench.spec, trials=POINTS + 1)
    trials = bench.search()[POINTS - 1 :]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert bench.measured == [setting_of(trials[0])]
