"""Sweeps on the miniature: killed and continued, in separate studies, and what they print."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.runs.study import FLAGS, TRIPLE, Count, finished, run_until_signal, spec, trials
from tuner.cli.main import main
from tuner.session import Session
from tuner.storage.database import Storage
from tuner.storage.optuna_names import POINT

TWO = {
    "sampler": "grid",
    "trials": None,
    "search_targets": ("deepcache",),
    "knobs": {"deepcache": {"cache_interval": (2, 3), "cache_branch_id": (0,)}},
}


def names(folder: Path) -> list[str]:
    return Storage(f"sqlite:///{folder / 'tuner.db'}", create=False).study_names()


@pytest.mark.parametrize(
    ("study_file", "points"),
    [
        ('search_targets = "deepcache"\n[knobs.deepcache]\ncache_interval = [2, 3]\n', 8),
        # Ratios 0.8 and 0.9 merge the same tokens, and no layer has a downsampling of 3.
        pytest.param(
            'search_targets = "tome"\ndistinct = true\n'
            "[knobs.tome]\nratio = [0.1, 0.2, 0.3, 0.5, 0.8, 0.9]\nmax_downsample = [2, 3]\n",
            5,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["grid", "distinct"],
)
def test_a_killed_sweep_continues_with_no_point_lost_or_run_twice(
    study_file: str, points: int, folder: Path
) -> None:
    study = f"{TRIPLE} grid"
    Path("points.toml").write_text(study_file)
    command = ["--sampler", "grid", "points.toml"]
    for sign, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGKILL, -9)):
        assert run_until_signal(sign, 1, *command) == code
    assert main([*FLAGS, *command, "--pictures", "none"]) == 0
    all_trials = trials(folder, study)
    complete = [trial for trial in all_trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == points
    assert len({trial.system_attrs[POINT] for trial in complete}) == points
    assert len({str(trial.params) for trial in complete}) == points
    failed = [trial for trial in all_trials if trial.state == TrialState.FAIL]
    assert len(failed) == len(all_trials) - points == 3
    assert {trial.user_attrs["reason"] for trial in failed} == {
        "interrupted",
        "its process ended before the trial did",
    }
    assert len(finished(folder)) == 3  # the study of the search is unchanged


@pytest.mark.slow
def test_each_product_has_a_study_for_its_sweep(folder: Path, session: Session) -> None:
    def run(**changes: Any) -> Count:
        observer = Count()
        session.run(spec(folder, **TWO | changes), observer)
        return observer

    assert run().began == 2
    assert run().began == 0
    assert names(folder) == [TRIPLE, f"{TRIPLE} grid"]
    assert run(knobs={"deepcache": {"cache_interval": (4,), "cache_branch_id": (0,)}}).began == 1
    assert run(distinct=True).began == 2
    assert run(sampler="walk", req_score_loss=0.0001).began >= 1
    assert run(sampler="walk", req_score_loss=0.99).began >= 1
    assert [re.sub("[0-9a-f]{6}$", "…", name) for name in names(folder)[2:]] == [
        f"{TRIPLE} grid product=deepcache …",
        f"{TRIPLE} grid product=distinct deepcache …",
        f"{TRIPLE} walk",
        f"{TRIPLE} walk limits=score_loss 0.99",
    ]
    assert len(finished(folder)) == 3


def test_the_estimate_of_a_sweep_is_printed_before_it_starts(
    folder: Path, session: Session
) -> None:
    observer = Count()
    session.run(spec(folder, **TWO), observer)
    (line,) = observer.lines
    assert line.startswith("2 points, 2 left: about 0 min")
    # A warm-up of 2, 4 prompts, and 2 of the baseline, interleaved.
    assert " s and 0.1 MB of the database, at the baseline's " in line
    assert "s per image and 8 images per trial; faster" in line
    observer = Count()
    session.run(spec(folder, **TWO), observer)
    (line,) = observer.lines
    assert re.match(
        r"2 points, 0 left: about 0 min 0 s and 0.1 MB of the database, at [\d.]+ s per", line
    )


def test_a_sweep_is_shown_and_exported_like_a_search(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Path("two.toml")
    study.write_text(
        'sampler = "grid"\nsearch_targets = "deepcache"\n'
        "[knobs.deepcache]\ncache_interval = [2, 3]\ncache_branch_id = [0]\n"
    )
    flags = [flag for flag in FLAGS if flag not in ("--sampler", "random")]
    assert main([*flags, str(study), "--pictures", "none"]) == 0
    printed = capsys.readouterr().out
    assert f"{TRIPLE}: goal: score loss under 99%; all points" in printed
    assert "2 points, 2 left: " in printed
    assert f"{TRIPLE} grid: Pareto front" in printed
    assert main(["show", "--study", f"{TRIPLE} grid"]) == 0
    assert "deepcache 3/0" in capsys.readouterr().out
    assert main(["export", "--study", f"{TRIPLE} grid"]) == 0
    (entry,) = json.loads(Path("search_params.json").read_text())["studies"].values()
    assert entry["best"]["params"]["deepcache"]["cache_interval"] in (2, 3)
    assert entry["best"]["verified"]
