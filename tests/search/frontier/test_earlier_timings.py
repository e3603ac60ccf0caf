"""Steps that were timed in a source study predict speeds with another number of steps too."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.simulated import EVALUATION, Bench
from tuner.measure.cache_keys import key_of
from tuner.search.frontier.earlier_timings import TIMED_STEPS, earlier_timings
from tuner.search.frontier.speed_model import SpeedModel, TimedSteps, settings_to_time
from tuner.search.problem import Problem
from tuner.search.samplers import make_frontier
from tuner.setting import Setting
from tuner.study.identity import request

TIMED = [
    Setting(),
    Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}}),
    Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 2}}),
]
REST = 3.0  # seconds of text encoding and decoding


def _parts(steps: int, sched: str) -> dict[str, Any]:
    """What a study's latency key is made of."""
    machine = {"weights": "made up", "device": "a processor"}
    return machine | {"scheduler": {"class": sched}, "steps": steps}


def seconds(problem: Problem, setting: Setting) -> np.ndarray:
    """What each step takes on a machine that is made up."""
    work = problem.work(setting)
    steps: np.ndarray = work @ np.linspace(0.5, 2.0, work.shape[1])
    return steps


def speedup(problem: Problem, setting: Setting) -> float:
    whole = [REST + seconds(problem, each).sum() for each in (Setting(), setting)]
    return float(whole[0] / whole[1])


def study(folder: Path, steps: int, sched: str = "UniPC", **parts: Any) -> Bench:
    bench = Bench(folder, EVALUATION, sched=sched, steps=steps, search_targets=("deepcache",))
    bench.study.set_user_attr("request", request(bench.spec))
    bench.study.set_user_attr("baseline_parts", _parts(steps, sched) | parts)
    return bench


def timed(folder: Path, steps: int) -> Bench:
    """A study whose steps were timed, as `tuner.timed_steps` stores them."""
    bench = study(folder, steps, "DDIM")
    whole = REST + seconds(bench.problem, Setting()).sum()
    stored = {
        str(setting): {
            "params": setting.params,
            "steps": [float(step / whole) for step in seconds(bench.problem, setting)],
            "rest": float(REST / whole),
        }
        for setting in TIMED
    }
    parts = _parts(steps, "DDIM")
    bench.storage.put(TIMED_STEPS, key_of(parts), parts, stored)
    return bench


def taken_over(target: Bench, source: Bench) -> list[TimedSteps]:
    return earlier_timings(target.study, source.study, target.storage, source.problem)


@pytest.mark.parametrize("steps", [20, 50])
def test_speeds_follow_from_the_steps_of_another_study(steps: int, tmp_path: Path) -> None:
    source, target = timed(tmp_path, 20), study(tmp_path, steps)
    model = SpeedModel(target.problem.work)
    model.fit(taken_over(target, source), [])
    for setting in TIMED[1:]:
        assert model.speedups([setting])[0] == pytest.approx(speedup(target.problem, setting), 0.01)


def test_what_was_timed_elsewhere_is_not_timed_again(tmp_path: Path) -> None:
    source, target = timed(tmp_path, 20), study(tmp_path, 50)
    problem, earlier = target.problem, taken_over(target, source)
    offered = [setting for setting in problem.space.known_good() if setting.accelerators]
    assert settings_to_time(offered, problem.work, 5)
    assert len(settings_to_time(offered, problem.work, 5, earlier=earlier)) < len(
        settings_to_time(offered, problem.work, 5)
    )


def test_the_sampler_predicts_speeds_from_them_alone(tmp_path: Path) -> None:
    source, target = timed(tmp_path, 20), study(tmp_path, 50)
    problem = replace(target.problem, timed_before=taken_over(target, source))
    prediction = make_frontier(0, problem).prediction(target.study, TIMED[1])
    assert prediction is not None
    assert prediction.speedup == pytest.approx(speedup(problem, TIMED[1]), 0.01)


@pytest.mark.parametrize("part", ["weights", "device"])
def test_steps_of_another_model_or_machine_are_not_taken_over(part: str, tmp_path: Path) -> None:
    source = timed(tmp_path, 20)
    assert taken_over(study(tmp_path, 50, **{part: "another one"}), source) == []


def test_a_study_that_timed_nothing_gives_nothing(tmp_path: Path) -> None:
    assert taken_over(study(tmp_path, 50), study(tmp_path, 20, "DDIM")) == []
