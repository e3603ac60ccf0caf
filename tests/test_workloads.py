"""What a study measures: a pipeline and its call, the steps that run, the scheduler, the size."""

from typing import Any

import pytest
from diffusers import DPMSolverMultistepScheduler, HeunDiscreteScheduler, PNDMScheduler

from tests.helpers.pipelines import new, tiny
from tests.helpers.production import PROMPTS, make_call, make_pipeline
from tests.helpers.relatives import SIDE, relative
from tuner.errors import UsageError
from tuner.family import family_like
from tuner.pipelines.calls import steps_to_request
from tuner.schedulers import name_of_scheduler
from tuner.size import Size
from tuner.spec import StudySpec
from tuner.workloads import Workloads


def own(pipeline: Any, call: dict[str, Any] | None = None, **changes: Any) -> StudySpec:
    return StudySpec(pipeline=pipeline, call=call, **{"prompts": PROMPTS} | changes)


def test_a_users_pipeline_has_the_passes_that_run_and_the_size_of_its_pictures() -> None:
    workload = Workloads().of(own(make_pipeline(), make_call()), "cpu")
    assert (workload.steps, workload.size) == (3, Size(SIDE, SIDE))
    assert len(workload.call.each["image"]) == len(PROMPTS)
    plain = Workloads().of(own(tiny("sd")), "cpu")
    assert (plain.steps, plain.call.common) == (50, {})  # the defaults of its call
    listed = Workloads().of(own(tiny("sd", "DPM-Solver++"), {"timesteps": [900, 500, 1]}), "cpu")
    assert listed.steps == 3


def test_keys_of_the_study_replace_arguments_of_the_call() -> None:
    spec = own(tiny("sd"), {"num_inference_steps": 9, "height": 24}, steps=4, resolution=32)
    workload = Workloads().of(spec, "cpu")
    assert (workload.steps, workload.size) == (4, Size(32, 32))


def test_the_scheduler_is_the_pipelines_own_unless_the_study_names_another() -> None:
    pipeline = new("sd")
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, use_karras_sigmas=True, solver_order=3
    )
    workloads = Workloads()
    spec = workloads.named(own(pipeline), "cpu")
    assert (spec.pipe, spec.sched) == ("StableDiffusion", "DPM++ 2M Karras")
    scheduler = workloads.of(spec, "cpu").pipeline.scheduler
    assert scheduler is not pipeline.scheduler
    assert scheduler.config == pipeline.scheduler.config
    other = workloads.named(own(pipeline, sched="Euler"), "cpu")
    assert other.sched == "Euler Karras"  # options that the schedulers share are kept
    assert type(pipeline.scheduler) is DPMSolverMultistepScheduler


def test_a_scheduler_of_several_passes_is_refused_in_one_line() -> None:
    pipeline = new("sd")
    pipeline.scheduler = PNDMScheduler.from_config(pipeline.scheduler.config)
    with pytest.raises(UsageError, match="PNDMScheduler makes several passes"):
        Workloads().named(own(pipeline), "cpu")
    assert Workloads().named(own(pipeline, sched="DDIM"), "cpu").sched == "DDIM"


def test_a_pipeline_on_another_device_than_the_study_is_refused() -> None:
    with pytest.raises(UsageError, match=r"on cpu, but the study runs on cuda:0; move the pipel"):
        Workloads().of(own(tiny("sd")), "cuda:0")


def test_default_accelerators_and_score_are_those_of_the_known_model_that_is_most_like_it() -> None:
    assert family_like(relative("StableDiffusionXLImg2ImgPipeline", "sdxl")).name == "SDXL"
    assert family_like(tiny("flux")).name == "Flux"
    narrow = family_like(tiny("sd"))  # of the width of no known model
    assert narrow.accelerators == ("deepcache", "tome", "tgate")
    assert (narrow.metric, narrow.metric_options) == ("clip", {})
    targets = Workloads().named(own(tiny("flux")), "cpu").search_targets
    assert set(targets) == {"magcache", "fbcache", "taylorseer"}


@pytest.mark.parametrize(("strength", "steps", "number"), [(1.0, 4, 4), (0.5, 4, 8), (0.6, 3, 5)])
def test_fewer_steps_are_requested_by_the_number_that_runs_them(
    strength: float, steps: int, number: int
) -> None:
    pipeline = relative("StableDiffusionImg2ImgPipeline", "sd")
    assert steps_to_request(pipeline, {"strength": strength}, steps) == number


def test_a_number_of_steps_that_a_call_cannot_run_is_refused_with_the_cause() -> None:
    with pytest.raises(UsageError, match="cannot run exactly 4 steps, because timesteps lists"):
        steps_to_request(tiny("sd"), {"timesteps": [900, 500, 1]}, 4)
    heun = tiny("sd")
    heun.scheduler = HeunDiscreteScheduler.from_config(heun.scheduler.config)
    with pytest.raises(UsageError, match="with HeunDiscreteScheduler; choose another number"):
        steps_to_request(heun, {}, 4)


def test_names_of_schedulers_are_those_of_class_and_options() -> None:
    assert name_of_scheduler(tiny("sd", "UniPC").scheduler) == "UniPC"
    assert name_of_scheduler(tiny("flux").scheduler) == "FlowMatchEuler"
