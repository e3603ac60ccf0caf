"""The warm start: which study is the source, which of its settings count, and as what."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.simulated import EVALUATION, Bench, measurement
from tuner.measure.evaluation import Measurement
from tuner.search.frontier import transfer
from tuner.search.frontier.transfer import SourceStudy, source_study
from tuner.setting import Setting
from tuner.study.identity import request

SAME = EVALUATION | {"resolution": 64, "metric": "clip", "device": "cpu", "guidance": 7.5}


def study(folder: Path, evaluation: dict[str, Any] | None = None, **changes: Any) -> Bench:
    """A study of DeepCache, not searched yet, with another way of evaluating where given."""
    values = {"search_targets": ("deepcache",), "trials": 8} | changes
    bench = Bench(folder, SAME | (evaluation or {}), **values)
    bench.study.set_user_attr("request", request(bench.spec))
    return bench


def searched(folder: Path, evaluation: dict[str, Any] | None = None, **changes: Any) -> Bench:
    bench = study(folder, evaluation, **changes)
    bench.search()
    return bench


def source(bench: Bench) -> SourceStudy | None:
    return source_study(bench.study, bench.storage, bench.problem)


def name(bench: Bench) -> str | None:
    start = source(bench)
    return None if start is None else start.name


def test_the_closest_study_is_by_steps_then_scheduler_then_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "ENOUGH", 1)
    target = study(tmp_path, sched="DDIM", steps=20)
    assert name(target) is None
    searched(tmp_path, sched="UniPC", steps=50)
    assert name(target) == "miniature/UniPC/50"
    searched(tmp_path, sched="DDIM", steps=50)
    assert name(target) == "miniature/DDIM/50"
    searched(tmp_path, sched="UniPC", steps=25)
    assert name(target) == "miniature/UniPC/25"
    searched(tmp_path, sched="UniPC", steps=20)
    assert name(target) == "miniature/UniPC/20"
    searched(tmp_path, {"batch": 8, "device": "cuda"}, sched="DDIM", steps=20)
    searched(tmp_path, {"batch": 8}, sched="DDIM", steps=20)
    assert name(target) == "miniature/DDIM/20 batch=8"


@pytest.mark.parametrize("part", ["weights", "resolution", "metric"])
def test_a_study_of_other_pictures_or_another_score_is_no_source(part: str, tmp_path: Path) -> None:
    target = study(tmp_path, sched="DDIM")
    other = searched(tmp_path, sched="UniPC")
    assert name(target) == "miniature/UniPC/50"
    other.study.set_user_attr("evaluation", SAME | {part: "other"})
    assert name(target) is None


@pytest.mark.parametrize(
    ("enough", "expected"),
    [
        (3, "miniature/UniPC/50"),
        (4, "miniature/UniPC/50 and miniature/UniPC/40"),
        (7, "miniature/UniPC/50 and 2 others"),
    ],
)
def test_studies_with_few_settings_are_one_source_together(
    enough: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "ENOUGH", enough)
    target = study(tmp_path, sched="DDIM")
    for steps in (20, 30, 40, 50):
        searched(tmp_path, sched="UniPC", sampler="frontier", steps=steps, trials=3)
    found = source(target)
    assert found is not None
    assert found.name == expected
    assert enough <= len(found.observations) < enough + 3


def test_a_study_of_one_setting_is_a_source(tmp_path: Path) -> None:
    target = study(tmp_path, sched="DDIM")
    searched(tmp_path, sched="UniPC", trials=1, req_score_loss=0.9)
    found = source(target)
    assert found is not None and len(found.observations) == 1
    assert found.first("max") == [found.observations[0].setting]
    assert str(found) == "miniature/UniPC/50 (1 setting)"


def test_a_study_that_is_being_searched_is_a_source(tmp_path: Path) -> None:
    target = study(tmp_path, sched="DDIM")
    other = searched(tmp_path, sched="UniPC")
    other.study.ask()  # by a worker that is still at it
    found = source(target)
    assert found is not None and len(found.observations) > 1
    assert str(found) == f"miniature/UniPC/50 ({len(found.observations)} settings)"


def test_with_the_aim_combinations_the_best_of_each_comes_first(tmp_path: Path) -> None:
    both = {"search_targets": ("deepcache", "tome"), "req_score_loss": 0.9}
    target = study(tmp_path, sched="DDIM", **both)
    searched(tmp_path, sched="UniPC", trials=20, **both)
    found = source(target)
    assert found is not None
    first = found.first("combinations")
    assert len(first) == len({setting.combination for setting in found.feasible}) > 1
    assert first[0] == found.best


def test_a_study_of_very_many_trials_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = study(tmp_path, sched="DDIM")
    searched(tmp_path, sched="UniPC")
    monkeypatch.setattr("tuner.search.frontier.transfer.MAX_TRIALS", 8)
    assert name(target) == "miniature/UniPC/50"
    monkeypatch.setattr("tuner.search.frontier.transfer.MAX_TRIALS", 7)
    assert name(target) is None


def test_settings_outside_of_this_space_are_left_out(tmp_path: Path) -> None:
    tome = {"tome": {"ratio": 0.2, "max_downsample": 1}}
    within = [
        Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": branch}})
        for interval in (2, 3)
        for branch in (0, 1, 2, 3)
    ]
    outside = [
        Setting(),
        Setting.of({"deepcache": {"cache_interval": 4, "cache_branch_id": 0}}),
        Setting.of(tome),
        Setting.of(tome | {"deepcache": {"cache_interval": 2, "cache_branch_id": 0}}),
    ]
    both = ("deepcache", "tome")
    other = study(tmp_path, sched="UniPC", search_targets=both, trials=12, req_score_loss=0.9)
    assert len(other.search(first=[*outside, *within])) == 12
    knobs = {"deepcache": {"cache_interval": (2, 3), "cache_branch_id": (0, 1, 2, 3)}}
    start = source(study(tmp_path, sched="DDIM", knobs=knobs))
    assert start is not None
    assert [observation.setting for observation in start.observations] == within
    assert start.best in within


@pytest.mark.parametrize("steps", [20, 25])
def test_settings_of_a_source_with_the_same_narrowed_knobs_are_within_the_space(
    steps: int, tmp_path: Path
) -> None:
    knobs = {
        "tgate": {
            "gate_step": (6,),
            "sp_interval": (7,),
            "fi_interval": (3, 4, 5),
            "warmup": (2, 3),
        }
    }
    changes = {"search_targets": ("tgate",), "knobs": knobs, "req_score_loss": 0.9}
    other = study(tmp_path, sched="UniPC", steps=steps, **changes)
    other.canonical = other.problem.canonical  # which names them by intervals that are not offered
    every_setting = [
        Setting.of(
            {"tgate": {"gate_step": 6, "sp_interval": 7, "fi_interval": interval, "warmup": warmup}}
        )
        for interval in (3, 4, 5)
        for warmup in (2, 3)
    ]
    other.search(first=every_setting)
    target = study(tmp_path, sched="DDIM", steps=20, **changes)
    start = source(target)
    assert start is not None
    offered = {target.problem.canonical(setting) for setting in every_setting}
    assert {observation.setting for observation in start.observations} == offered
    assert start.best in offered


def test_what_a_setting_reuses_is_a_share_of_the_source_studys_steps(tmp_path: Path) -> None:
    other = searched(tmp_path, sched="DDIM", steps=50, search_targets=("tgate",))
    target = study(tmp_path, sched="DDIM", steps=20, search_targets=("tgate",))
    start = source(target)
    assert start is not None
    for observation, setting in zip(start.observations, dict.fromkeys(other.measured), strict=True):
        reused = replace(target.problem, steps=50).reuse(setting)
        assert observation.reused is not None
        assert observation.reused.summary == pytest.approx(reused.summary)
        assert observation.reused.course == pytest.approx(reused.course)
        assert not np.allclose(reused.summary, target.problem.reuse(setting).summary)
        assert observation.setting == target.problem.canonical(setting)
        assert observation.loss == measurement(setting).score_loss.value


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"sched": "UniPC"}, True),
        ({"sched": "UniPC", "steps": 25}, False),
        ({"evaluation": {"device": "cuda"}}, False),
        ({"evaluation": {"guidance": 1.0}}, False),
        ({"evaluation": {"prompts": "others"}}, True),
    ],
    ids=str,
)
def test_a_speedup_counts_where_a_step_is_the_same_work_on_the_same_device(
    changes: dict[str, Any], counts: bool, tmp_path: Path
) -> None:
    target = study(tmp_path)
    searched(tmp_path, **changes)
    start = source(target)
    assert start is not None
    assert {observation.speedup is not None for observation in start.observations} == {counts}


def test_its_fastest_setting_within_the_current_limits_is_tried_first(tmp_path: Path) -> None:
    other = searched(tmp_path, sched="UniPC", req_score_loss=0.9, sampler="frontier", trials=16)
    target = study(tmp_path, sched="DDIM", req_score_loss=0.01, limits={"ssim": 0.96})
    within = [
        setting
        for setting in other.measured
        if measurement(setting).score_loss.value < 0.01
        and measurement(setting).fidelity["ssim"].value > 0.96
    ]
    start = source(target)
    assert start is not None
    assert start.best == max(within, key=lambda setting: measurement(setting).speedup.value)
    nothing = study(tmp_path, sched="DDIM", req_score_loss=0.01, limits={"ssim": 1.01})
    assert (strict := source(nothing)) is not None
    assert strict.best is None
    unmeasured = study(tmp_path, sched="DDIM", req_score_loss=0.01, limits={"psnr": 40})
    assert source(unmeasured) is not None  # limits of metrics that it did not measure are ignored


def test_a_stopped_trial_is_an_observation_and_never_tried_first(tmp_path: Path) -> None:
    other = study(tmp_path, sched="UniPC", sampler="frontier", req_score_loss=0.004, trials=16)

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        other.measured.append(setting)
        for prompts in (8, 32):
            yield replace(measurement(setting), prompts=prompts)

    other.measure = measure  # type: ignore[method-assign]
    trials = other.search(samples=32, stops_early=True)
    stopped = {
        Setting.of(trial.user_attrs["setting"]) for trial in trials if trial.state.name == "PRUNED"
    }
    assert stopped
    start = source(study(tmp_path, sched="DDIM", req_score_loss=0.9))
    assert start is not None
    assert stopped < {observation.setting for observation in start.observations}
    assert start.best is not None
    assert start.best not in stopped
