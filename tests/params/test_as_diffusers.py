"""A setting as plain Python draws the same pictures; one that would not is refused."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tuner
from tests.accelerators.cases import FITTING, Names, accelerated, setting
from tests.helpers.drawing import GUIDANCE, SIDE, STEPS, draw
from tests.helpers.pipelines import PROMPTS, SCHEDULERS_OF, new, pictures, same, tiny
from tests.helpers.pipelines import STEPS as TINY_STEPS
from tests.params.files import EVALUATION, study
from tests.params.settings import DEEPCACHE, TGATE, TOME
from tuner.applying.applied import applied
from tuner.errors import UnfitError, UsageError
from tuner.params.as_diffusers import codes_of, script
from tuner.plain_code import PlainCode
from tuner.schedulers import set_scheduler

ROOT = Path(tuner.__file__).parent.parent
ON_CPU = {"device": "AMD EPYC", "device_type": "cpu"}


def conditions(family: str, **changes: Any) -> dict[str, Any]:
    """A study of a tiny pipeline in the file, as far as its code depends on it."""
    evaluation = EVALUATION | ON_CPU | {"seed": 0, "batch": 1} | changes
    return {"pipeline": type(tiny(family)).__name__, "steps": TINY_STEPS, "evaluation": evaluation}


def written(names: Names, family: str) -> list[PlainCode] | None:
    try:
        return codes_of(setting(names), conditions(family))
    except UnfitError:
        return None


# On SDXL the code is that of SD, but for T-GATE's loop.
CASES = [case for case in FITTING if case[1] != "sdxl" or case[0] == ("tgate",)]
WRITTEN = [case for case in CASES if written(*case) is not None]


@pytest.mark.parametrize(
    ("names", "family"), WRITTEN, ids=lambda part: part if isinstance(part, str) else "+".join(part)
)
def test_the_packages_draw_the_same_pictures_call_after_call(names: Names, family: str) -> None:
    pipe = new(family)
    set_scheduler(pipe, SCHEDULERS_OF[family][0])
    codes = codes_of(setting(names), conditions(family))
    variables = {"pipe": pipe}
    exec("import torch\n" + "\n".join(line for code in codes for line in code.imports), variables)
    exec("\n".join(line for code in codes for line in code.setup), variables)

    def generate(prompts: tuple[str, ...]) -> np.ndarray:
        with ExitStack() as contexts:
            for code in codes:
                exec("\n".join(code.before), variables)
                if code.context is not None:
                    contexts.enter_context(eval(code.context, variables))
            call = next((code.call for code in codes if code.call != "pipe"), "pipe")
            arguments = {name: value for code in codes for name, value in code.arguments.items()}
            return pictures(eval(call, variables), prompts, **arguments)

    others = PROMPTS[:1]  # decided and merged as a batch of its own
    with applied(tiny(family), setting(names).accelerators) as ours:
        expected = pictures(ours, others)
    assert same(generate(others), expected)
    if names != ("fbcache",):  # written for batches of one picture
        assert same(generate(PROMPTS[:2]), accelerated(family, names))
    assert same(generate(others), expected)


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


def test_a_script_of_an_old_file_chooses_its_device_itself() -> None:
    text = script("SD1.5/DDIM/8", study(8, DEEPCACHE, evaluation={}))
    assert 'to("cuda" if torch.cuda.is_available() else "cpu")' in text


def test_a_study_without_a_feasible_setting_is_refused() -> None:
    with pytest.raises(UsageError, match="has no feasible setting"):
        script("SD1.5/DDIM/8", study(8, None, evaluation={}))
