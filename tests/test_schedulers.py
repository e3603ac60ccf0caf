"""Which numbers of steps a scheduler accepts; its names are tested with the command line."""

import inspect
import re
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.helpers.pipelines import PROMPTS, pictures, tiny
from tuner.applying.applied import applied
from tuner.errors import UsageError
from tuner.scheduler_table import SCHEDULERS
from tuner.schedulers import check_steps, has_options, set_scheduler
from tuner.setting import Setting

# As the models come: Stable Diffusion's PNDM names no spacing, SDXL's Euler and the miniature do.
TRAINED = {"beta_schedule": "scaled_linear", "steps_offset": 1, "num_train_timesteps": 1000}
MODELS: dict[str, Any] = {
    "SD1.5": diffusers.PNDMScheduler(**TRAINED),
    "SDXL": diffusers.EulerDiscreteScheduler(**TRAINED, timestep_spacing="leading"),
    "miniature": diffusers.DDIMScheduler(**TRAINED, timestep_spacing="trailing"),
}

FOR_BETAS = [name for name, row in SCHEDULERS.items() if not row.kind.startswith(("Flow", "EDM"))]
ACCELERATED = Setting.of(
    {
        "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
        "tome": {"ratio": 0.5, "max_downsample": 1},
        "tgate": {"gate_step": 5, "sp_interval": 2, "fi_interval": 1, "warmup": 1},
    }
).accelerators


def scheduler(model: str, name: str) -> Any:
    """A scheduler with the noise of a model."""
    pipeline = SimpleNamespace(scheduler=MODELS[model], prepare_extra_step_kwargs=None)
    set_scheduler(pipeline, name)
    return pipeline.scheduler


@pytest.mark.parametrize("name", ["DDIM", "DPM-Solver++", "UniPC"])
@pytest.mark.parametrize("model", MODELS)
def test_usual_numbers_of_steps_are_accepted(model: str, name: str) -> None:
    for steps in (1, 2, 3, 20, 25, 50, 100):
        check_steps(scheduler(model, name), steps)


@pytest.mark.parametrize("name", FOR_BETAS)
@pytest.mark.parametrize("model", MODELS)
def test_every_scheduler_runs_the_steps_of_the_sweep(model: str, name: str) -> None:
    for steps in (4, 20, 25, 50):
        check_steps(scheduler(model, name), steps)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if SCHEDULERS[name].is_random else pytest.mark.slow)
        for name in FOR_BETAS
    ],
)
def test_a_picture_does_not_depend_on_its_neighbours(name: str) -> None:
    pipeline = tiny("sd", name)
    assert type(pipeline.scheduler).__name__ == SCHEDULERS[name].kind
    for setting in ((), ACCELERATED):
        with applied(pipeline, setting) as generate:
            together = pictures(generate, PROMPTS[:2], num_inference_steps=7)
            alone = pictures(generate, PROMPTS[1:2], first=1, num_inference_steps=7)
            assert np.allclose(together[1:], alone, atol=1e-4)


@pytest.mark.parametrize("name", FOR_BETAS)
def test_the_noise_of_steps_is_marked_and_comes_from_the_generators(name: str) -> None:
    made = scheduler("miniature", name)
    ends = [noisy_end(made, seed) for seed in (0, 0, 1)]
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2]) != SCHEDULERS[name].is_random


def noisy_end(made: Any, seed: int) -> torch.Tensor:
    """What three steps lead to, with the options of a pipeline's call."""
    made.set_timesteps(3)
    sample = torch.ones(1, 1, 2, 2)
    generator = torch.Generator().manual_seed(seed)
    known = inspect.signature(made.step).parameters
    options = {k: v for k, v in {"generator": generator, "eta": 0.0}.items() if k in known}
    for timestep in made.timesteps:
        made.scale_model_input(sample, timestep)
        sample = made.step(sample / 10, timestep, sample, **options, return_dict=False)[0]
    return sample


def test_an_option_of_one_scheduler_is_not_taken_over_by_the_next() -> None:
    pipeline = SimpleNamespace(scheduler=MODELS["SD1.5"], prepare_extra_step_kwargs=None)
    config = pipeline.scheduler.config
    set_scheduler(pipeline, "DPM++ 2M SDE Karras", config)
    assert has_options(pipeline.scheduler, SCHEDULERS["DPM++ 2M SDE Karras"].options)
    set_scheduler(pipeline, "DPM-Solver++", config)
    options = {"use_karras_sigmas": False, "algorithm_type": "dpmsolver++"}
    assert has_options(pipeline.scheduler, options)


def test_a_model_that_was_trained_as_an_edm_takes_the_schedulers_for_such() -> None:
    pipeline = SimpleNamespace(scheduler=diffusers.EDMEulerScheduler())
    set_scheduler(pipeline, "EDM DPM++ 2M")
    check_steps(pipeline.scheduler, 20)
    with pytest.raises(UsageError, match="trained as an EDM; use EDM Euler or EDM DPM"):
        set_scheduler(pipeline, "DDIM")


def test_a_model_whose_noise_schedule_is_its_own_keeps_its_scheduler() -> None:
    pipeline = SimpleNamespace(scheduler=diffusers.SCMScheduler())
    with pytest.raises(UsageError, match="whose SCMScheduler has a noise schedule of its own"):
        set_scheduler(pipeline, "DDIM")


@pytest.mark.parametrize(
    ("family", "name", "words"),
    [
        ("flux", "Euler a", r"was trained by flow matching; use FlowMatchEuler$"),
        ("sd", "FlowMatchEuler", r"was trained with a noise schedule of betas; use DDIM, .* or "),
        ("sd", "EDM Euler", r"was trained with a noise schedule of betas; use DDIM, .* or "),
        ("flux", "FlowMatchLCM", r"draws without the generator of each prompt.*FlowMatchEuler$"),
    ],
)
def test_a_scheduler_that_does_not_fit_is_refused_in_one_line(
    family: str, name: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        set_scheduler(tiny(family), name)
    assert "\n" not in str(caught.value)


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
