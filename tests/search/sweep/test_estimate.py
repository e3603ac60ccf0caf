"""The sweep estimate: its text, and what it is computed from."""

from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.simulated import EVALUATION, Bench
from tests.search.sweep.small import SMALL, distinct
from tuner.search.space import Space
from tuner.search.sweep.estimate import PROMPT_BYTES, TRIAL_BYTES, SweepEstimate, recent_s
from tuner.search.sweep.grid import grid
from tuner.search.sweep.sweep import Exhaustive, Reach
from tuner.search.sweep.walk import Walk
from tuner.spec import StudySpec
from tuner.storage.database import Storage

WHOLE = {"image_s": 0.5, "images": 48, "prompts": 32}


def test_a_grid_is_estimated_from_the_baselines_latency_until_there_are_trials() -> None:
    reach = Reach(passed=36_800, points=1_036_800)
    assert str(SweepEstimate(reach=reach, **WHOLE)) == (
        "1,036,800 points, 1,000,000 left: about 277 days 18 h and 3.3 GB of the database, at the "
        "baseline's 0.5 s per image and 48 images per trial; faster settings take less, and "
        "scoring adds to it"
    )
    assert str(SweepEstimate(reach=reach, trial_s=10, **WHOLE)) == (
        "1,036,800 points, 1,000,000 left: about 115 days 17 h and 3.3 GB of the database, "
        "at 10 s per trial, as so far"
    )


def test_a_sweep_that_skips_points_says_so() -> None:
    reach = Reach(passed=0, points=1000)
    half = str(SweepEstimate(reach=reach, trial_s=1, share=0.5, **WHOLE))
    assert half.startswith("1,000 points, 1,000 left, about 500 trials: ")
    assert "about 8 min 20 s and 1.6 MB of the database, at 1 s per trial" in half
    walk = str(SweepEstimate(reach=reach, trial_s=1, share=None, **WHOLE))
    assert "1,000 left, of which those that cannot be faster are skipped: " in walk
    assert "at most 16 min 40 s and 3.3 MB of the database, at 1 s per trial" in walk


def test_what_share_of_the_points_gets_a_trial(tmp_path: Path) -> None:
    def share(sampler: object) -> float | None:
        assert isinstance(sampler, Exhaustive)
        return sampler.share()

    for targets in (("tome",), ("tome", "tgate")):
        space = Space.of(StudySpec(pipe="miniature", sampler="grid", search_targets=targets))
        assert share(grid(space, seed=0)) == 1
    bench = Bench(tmp_path, sampler="walk")
    assert isinstance(bench.study.sampler, Walk)
    assert share(bench.study.sampler) is None
    tome = distinct(tmp_path, "sd", search_targets=("tome",), knobs={})
    # 0.8 and 0.9 merge what 0.75 would, and deep down are few tokens: 22 of 36 are distinct.
    assert share(tome.study.sampler) == pytest.approx(22 / 36)
    assert len(tome.search()) == 22


def test_a_trials_duration_is_the_mean_of_the_last_complete_ones(tmp_path: Path) -> None:
    study = Storage(f"sqlite:///{tmp_path / 'tuner.db'}").open_sweep("x", EVALUATION)
    assert recent_s(study) is None
    begin = datetime(2026, 11, 21, 12)
    for seconds, state in [(1000, TrialState.FAIL), *[(3, TrialState.COMPLETE)] * 99,
                           (103, TrialState.COMPLETE)]:  # fmt: skip
        study.add_trial(
            optuna.trial.FrozenTrial(
                number=0,
                trial_id=0,
                state=state,
                value=None,
                values=[1.0, 0.0] if state == TrialState.COMPLETE else None,
                datetime_start=begin,
                datetime_complete=begin + timedelta(seconds=seconds),
                params={},
                distributions={},
                user_attrs={},
                system_attrs={},
                intermediate_values={},
            )
        )
    assert recent_s(study) == pytest.approx(4.0)


def test_a_trial_takes_about_as_much_of_the_database_as_estimated(tmp_path: Path) -> None:
    bench = Bench(tmp_path, **SMALL)
    file = tmp_path / "tuner.db"
    with bench.storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    empty = file.stat().st_size
    trials = bench.search()
    with bench.storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    each = (file.stat().st_size - empty) / len(trials)
    assert 0.5 < each / (TRIAL_BYTES + PROMPT_BYTES * 2) < 2
