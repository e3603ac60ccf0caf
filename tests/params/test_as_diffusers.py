"""A setting as plain Python draws the same pictures; one that would not is refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tuner
from tests.accelerators.cases import Names, accelerated, setting
from tests.helpers.drawing import GUIDANCE, SIDE, STEPS, draw
from tests.helpers.pipelines import PROMPTS, SCHEDULERS_OF, new, pictures, same, tiny
from tests.params.files import point, study
from tests.params.plain import case_id, cases, conditions, running
from tests.params.settings import DEEPCACHE, TGATE, TOME
from tuner.applying.applied import applied
from tuner.errors import UnfitError, UsageError
from tuner.params.as_diffusers import codes_of, script
from tuner.schedulers import set_scheduler

ROOT = Path(tuner.__file__).parent.parent
ON_CPU = {"device": "AMD EPYC", "device_type": "cpu"}


@pytest.mark.parametrize(("names", "family"), cases(), ids=case_id)
def test_the_packages_draw_the_same_pictures_call_after_call(names: Names, family: str) -> None:
    pipe = new(family)
    set_scheduler(pipe, SCHEDULERS_OF[family][0])
    plain = running(pipe, codes_of(setting(names), conditions(family)))
    with applied(tiny(family), setting(names).accelerators) as ours:
        expected = pictures(ours, PROMPTS[:1])
    if names == ("fbcache",):  # written for batches of one picture
        assert same(plain(PROMPTS[:1]), expected)
    else:
        assert same(plain(PROMPTS[:2]), accelerated(family, names))
    assert same(plain(PROMPTS[:1]), expected)


@pytest.mark.parametrize(
    ("names", "family", "changes", "reason"),
    [
        (("deepcache", "tgate"), "sd", {}, "tgate would draw other pictures there"),
        (("tome", "tgate"), "sd", {}, "stored attention outputs stay merged"),
        (("deepcache", "tome", "tgate"), "sd", {}, "tome and tgate would draw other pictures"),
        (("tome",), "sd", {"device_type": "cuda"}, "vary from call to call"),
        (("tome",), "sd", {"guidance": 1.0}, "odd size"),
        (("tome",), "pixart", {}, "U-Nets only"),
        (("deepcache-window",), "sd", {}, "no window"),
        (("fbcache",), "pixart", {}, "not for each picture"),
        (("fbcache",), "flux", {"batch": 4}, "not for each picture"),
        (("fastercache",), "sd3", {}, "does not halve"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_setting_that_the_packages_draw_otherwise_is_refused_in_one_line(
    names: Names, family: str, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnfitError, match=reason) as refusal:
        codes_of(setting(names), conditions(family, **changes))
    assert str(refusal.value).endswith("apply the setting with tuner.apply")
    assert "\n" not in str(refusal.value)


def test_where_the_best_setting_is_refused_the_fastest_that_can_be_written_is_named() -> None:
    searched = study(8, DEEPCACHE | TGATE, evaluation=ON_CPU)
    slow, fast, too_fast = (
        point(params) | {"speedup": speedup, "trial": trial, "feasible": trial != 6}
        for trial, (params, speedup) in enumerate(
            ((TGATE, 1.2), (DEEPCACHE, 1.9), (DEEPCACHE | TOME, 2.5)), start=4
        )
    )
    searched["by_combination"] = {"tgate": slow, "deepcache": fast}
    searched["pareto"] = [slow, fast, too_fast]
    with pytest.raises(UnfitError, match=r"; deepcache 3/0 \(1\.90×, trial 5\) can be written$"):
        script("SD1.5/DDIM/8", searched)


def of_the_miniature(params: Any, **changes: Any) -> dict[str, Any]:
    evaluation = {"guidance": GUIDANCE, "resolution": SIDE, **ON_CPU, **changes}
    return study(STEPS, params, evaluation=evaluation) | {"pipe": "miniature"}


def test_the_script_draws_the_pictures_of_the_setting_in_a_fresh_process(tmp_path: Path) -> None:
    params = DEEPCACHE | TOME
    path = tmp_path / "accelerated.py"
    path.write_text(script("miniature/DDIM/6", of_the_miniature(params)))
    finished = subprocess.run(
        [sys.executable, "-m", "tests.helpers.drawing", "script", str(path), "pictures.npy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert finished.returncode == 0, finished.stderr
    pipe = tuner.load("miniature", scheduler="DDIM", device="cpu")
    with tuner.applied(pipe, params) as generate:
        assert same(np.load(tmp_path / "pictures.npy"), draw(generate))


def test_a_script_needs_no_tuner_and_has_the_form_of_the_stored_example() -> None:
    text = script("SD1.5/DDIM/8", study(8, TGATE, evaluation=ON_CPU))
    assert "import tuner" not in text
    assert text == (ROOT / "tests" / "data" / "accelerated.txt").read_text(encoding="utf-8")


def test_a_script_names_the_schedulers_options_the_size_and_the_negative_prompt() -> None:
    evaluation = ON_CPU | {"height": 1216, "width": 832, "negative_prompt": "blurry"}
    text = script("x", study(8, DEEPCACHE, "DPM++ 2M Karras", evaluation=evaluation))
    assert (
        "DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)"
        in text
    )
    assert '"height": 1216' in text
    assert '"width": 832' in text
    line = '"negative_prompt": "blurry" if isinstance(prompt, str) else ["blurry"] * len(prompt)'
    assert line in text


def test_tome_is_not_written_where_the_package_mistakes_its_layers() -> None:
    coarse = {"tome": {"ratio": 0.5, "max_downsample": 3}}
    exact = study(8, coarse, evaluation=ON_CPU | {"height": 1216, "width": 832})
    assert "tomesd.apply_patch" in script("x", exact)
    odd = study(8, coarse, evaluation=ON_CPU | {"height": 72, "width": 72})
    with pytest.raises(UnfitError, match="in pictures of 72x72 the package tomesd mistakes layers"):
        script("x", odd)


def test_a_script_of_an_old_file_chooses_its_device_itself() -> None:
    text = script("SD1.5/DDIM/8", study(8, DEEPCACHE, evaluation={}))
    assert 'to("cuda" if torch.cuda.is_available() else "cpu")' in text


def test_a_study_without_a_feasible_setting_is_refused() -> None:
    with pytest.raises(UsageError, match="has no feasible setting"):
        script("SD1.5/DDIM/8", study(8, None, evaluation={}))
