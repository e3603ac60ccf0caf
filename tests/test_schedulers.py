"""Which numbers of steps a scheduler accepts; its names are tested with the command line."""

import re
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest

from tuner.errors import UsageError
from tuner.schedulers import check_steps, set_scheduler

# As the models come: Stable Diffusion's PNDM names no spacing, SDXL's Euler and the miniature do.
TRAINED = {"beta_schedule": "scaled_linear", "steps_offset": 1, "num_train_timesteps": 1000}
MODELS: dict[str, Any] = {
    "SD1.5": diffusers.PNDMScheduler(**TRAINED),
    "SDXL": diffusers.EulerDiscreteScheduler(**TRAINED, timestep_spacing="leading"),
    "miniature": diffusers.DDIMScheduler(**TRAINED, timestep_spacing="trailing"),
}


def scheduler(model: str, name: str) -> Any:
    """A scheduler with the noise of a model."""
    pipeline = SimpleNamespace(scheduler=MODELS[model])
    set_scheduler(pipeline, name)
    return pipeline.scheduler


@pytest.mark.parametrize("name", ["DDIM", "DPM-Solver++", "UniPC"])
@pytest.mark.parametrize("model", MODELS)
def test_usual_numbers_of_steps_are_accepted(model: str, name: str) -> None:
    for steps in (1, 2, 3, 20, 25, 50, 100):
        check_steps(scheduler(model, name), steps)


@pytest.mark.parametrize(
    ("model", "name", "steps", "works"),
    [
        ("SD1.5", "DDIM", 10**12, 999),  # the last of 1000 would be the step 1000, from 0
        ("SDXL", "DPM-Solver++", 1001, 998),
        ("miniature", "DDIM", 1001, 1000),
        ("miniature", "DDIM", 61, 60),  # 1000/61 goes 62 times into 1000, as it is rounded
    ],
)
def test_a_number_of_steps_that_does_not_run_is_refused_with_one_that_does(
    model: str, name: str, steps: int, works: int
) -> None:
    refusing = scheduler(model, name)
    with pytest.raises(UsageError) as caught:
        check_steps(refusing, steps)
    assert f"cannot run exactly {steps} steps" in str(caught.value)
    assert re.findall(r"\d+$", str(caught.value)) == [str(works)]
    check_steps(refusing, works)


def test_a_flow_matching_model_accepts_any_number_of_steps_that_it_was_trained_with() -> None:
    flows = diffusers.FlowMatchEulerDiscreteScheduler()
    check_steps(flows, 1)
    check_steps(flows, 1000)
    with pytest.raises(UsageError, match="lower number that works is 1000"):
        check_steps(flows, 1001)
