import json
from pathlib import Path
from typing import Any

import pytest

import tuner
from tests.pipelines import new, pictures, same
from tuner.errors import UsageError
from tuner.schedulers import set_scheduler
from tuner.setting import Setting

DEEPCACHE = {"deepcache": {"cache_interval": 3, "cache_branch_id": 0}}
TGATE = {"tgate": {"gate_step": 5, "sp_interval": 2, "fi_interval": 1, "warmup": 1}}


def study(steps: int, params: dict[str, Any] | None, sched: str = "DDIM") -> dict[str, Any]:
    return {
        "pipeline": "StableDiffusionPipeline",
        "sched": sched,
        "steps": steps,
        "best": None if params is None else {"params": params},
    }


def file(folder: Path, **studies: dict[str, Any]) -> Path:
    path = folder / "search_params.json"
    path.write_text(json.dumps({"schema": 1, "studies": studies}))
    return path


@pytest.fixture
def pipe() -> Any:
    pipeline = new("sd")
    set_scheduler(pipeline, "DDIM")
    return pipeline


def test_a_file_a_mapping_and_a_setting_give_the_same_pictures(pipe: Any, tmp_path: Path) -> None:
    with tuner.applied(pipe, DEEPCACHE) as generate:
        expected = pictures(generate)
    for source in (Setting.of(DEEPCACHE), file(tmp_path, one=study(8, DEEPCACHE))):
        with tuner.applied(pipe, source) as generate:
            assert same(pictures(generate), expected)
    assert not same(pictures(pipe), expected)


def test_applied_for_good_the_pipeline_itself_is_accelerated_until_undone(pipe: Any) -> None:
    before = pictures(pipe)
    with tuner.applied(pipe, TGATE) as generate:
        expected = pictures(generate)
    undo = tuner.apply(pipe, TGATE)
    assert same(pictures(pipe), expected)
    undo()
    assert same(pictures(pipe), before)


def test_each_call_uses_the_study_of_its_own_number_of_steps(pipe: Any, tmp_path: Path) -> None:
    path = file(tmp_path, few=study(6, DEEPCACHE), many=study(8, TGATE))
    expected = {}
    for steps, params in ((6, DEEPCACHE), (8, TGATE)):
        with tuner.applied(pipe, params) as generate:
            expected[steps] = pictures(generate, num_inference_steps=steps)
    undo = tuner.apply(pipe, path)
    for steps in (8, 6, 8):
        assert same(pictures(pipe, num_inference_steps=steps), expected[steps])
    with pytest.raises(UsageError, match="no study with 7 steps; the file has 6, 8"):
        pictures(pipe, num_inference_steps=7)
    undo()


def test_a_file_with_several_numbers_of_steps_asks_which(pipe: Any, tmp_path: Path) -> None:
    path = file(tmp_path, few=study(6, DEEPCACHE), many=study(8, TGATE))
    with pytest.raises(UsageError, match="say which: steps="), tuner.applied(pipe, path):
        pass
    with tuner.applied(pipe, path, steps=6):
        pass


def test_a_study_of_another_scheduler_or_with_nothing_feasible_is_not_used(
    pipe: Any, tmp_path: Path
) -> None:
    path = file(tmp_path, other=study(8, DEEPCACHE, "UniPC"), nothing=study(8, None))
    with pytest.raises(UsageError, match="no feasible study for StableDiffusionPipeline"):
        tuner.apply(pipe, path)


def test_applying_for_good_twice_is_refused(pipe: Any) -> None:
    undo = tuner.apply(pipe, DEEPCACHE)
    with pytest.raises(UsageError, match="accelerated already"):
        tuner.apply(pipe, TGATE)
    undo()


@pytest.mark.parametrize("contents", ["", "[]", '{"schema": 2, "studies": {}}'])
def test_a_file_of_another_kind_is_refused_in_one_line(
    pipe: Any, tmp_path: Path, contents: str
) -> None:
    path = tmp_path / "search_params.json"
    path.write_text(contents)
    with pytest.raises(UsageError) as caught:
        tuner.apply(pipe, path)
    assert "\n" not in str(caught.value)
