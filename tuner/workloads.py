"""What a study measures: a pipeline, of a known model or the user's own, and its calls."""

import copy
from dataclasses import dataclass, replace
from typing import Any

from tuner.errors import UsageError, about
from tuner.family import family_like
from tuner.fitting import check_negative_prompt
from tuner.loading import device_named, dtype_named, load
from tuner.models import Model
from tuner.pipelines.arguments import steps_of
from tuner.pipelines.call_arguments import CallArguments, text_to_image
from tuner.pipelines.call_checks import checked_arguments, lists_of
from tuner.pipelines.calls import steps_that_run, values_of
from tuner.pipelines.compiling import compile_denoiser
from tuner.pipelines.denoiser import named_denoiser
from tuner.pipelines.first_pass import drawn_size
from tuner.pipelines.owner import plain_class
from tuner.plans.plan import check_sides
from tuner.prompts import listed, prompt_set
from tuner.schedulers import check_steps, keep_scheduler, name_of_scheduler, set_scheduler
from tuner.size import Size
from tuner.spec import StudySpec
from tuner.user_code import arguments_of, pipeline_of


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A pipeline with its scheduler, and how it is called for all prompts of a study."""

    pipeline: Any
    call: CallArguments  # of all prompts, if these are a list
    steps: int  # passes of the denoiser in one call
    size: Size
    seen: set[Any]  # kinds of steps that the pipeline has run, see `tuner.measure.warm_ups`


class Workloads:
    """Makes the workloads of studies; the last pipeline stays loaded for the next study."""

    def __init__(self, *, allow_pickle: bool = False) -> None:
        """`allow_pickle`: as in `tuner.load`."""
        self._allow_pickle = allow_pickle
        # Each with the scheduler with which it came.
        self._pipelines: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self._seen: set[Any] = set()  # kinds of steps that the pipeline in memory has run
        self._calls: dict[str, dict[str, Any]] = {}  # what functions returned

    def named(self, spec: StudySpec, device: str) -> StudySpec:
        """The spec with the names of its pipeline and scheduler, and its default accelerators.

        Those of a known model's study are known before it is loaded, and stay as they are.
        """
        if spec.pipeline is None:
            return spec
        pipeline = self._own(spec, device)
        name = plain_class(pipeline).__name__.removesuffix("Pipeline")
        with about("sched"):
            sched = name_of_scheduler(pipeline.scheduler)
        targets = spec.search_targets
        if spec.targets_are_defaults:
            targets = family_like(pipeline).accelerators
        return replace(spec, pipe=spec.pipe or name, sched=sched, search_targets=targets)

    def model(self, spec: StudySpec, device: str) -> Model:
        """The known model whose defaults the study has; it is not loaded."""
        return spec.family if spec.pipeline is None else family_like(self._own(spec, device))

    def of(self, spec: StudySpec, device: str) -> Workload:
        """The workload of a study.

        Raises:
            UsageError: something cannot be loaded, or the pipeline cannot be called like this.
        """
        return self._of_model(spec, device) if spec.pipeline is None else self._of_own(spec, device)

    def _of_model(self, spec: StudySpec, device: str) -> Workload:
        model = spec.family
        pipeline = self._known(spec, device)
        assert spec.steps is not None  # a known model's study has a default
        check_steps(pipeline.scheduler, spec.steps)
        guidance = model.guidance_scale if spec.guidance_scale is None else spec.guidance_scale
        if spec.negative_prompt is not None:
            check_negative_prompt(pipeline, guidance)
        size = spec.size(model.resolution)
        check_sides(pipeline, dict(zip(spec.size_keys, size, strict=True)))
        call = text_to_image(
            steps=spec.steps,
            guidance_scale=guidance,
            size=size,
            negative_prompt=spec.negative_prompt,
        )
        return Workload(pipeline=pipeline, call=call, steps=spec.steps, size=size, seen=self._seen)

    def _of_own(self, spec: StudySpec, device: str) -> Workload:
        pipeline = self._own(spec, device)
        model = family_like(pipeline)
        given = checked_arguments(pipeline, {**self._call(spec), **spec.arguments})
        with about("prompts"):
            prompts = prompt_set(spec.prompts or model.prompts)
            of_list = listed(prompts)
            text = of_list.prompts[0] if of_list else prompts.load(1)[0]
        count = None if of_list is None else len(of_list.prompts)
        call = CallArguments.of(given, count, lists_of(pipeline))
        call.check_batches(spec.batch_size)
        size = drawn_size(pipeline, {"prompt": [text], **call.of_batch([0])})
        check_sides(pipeline, dict(zip(("height", "width"), size, strict=True)))
        if not call.lists_steps:
            values = values_of(pipeline, call.common)
            check_steps(pipeline.scheduler, steps_of(values))
        steps = steps_that_run(pipeline, call.common)
        return Workload(pipeline=pipeline, call=call, steps=steps, size=size, seen=self._seen)

    def _call(self, spec: StudySpec) -> dict[str, Any]:
        """The arguments of `spec.call`; a function is called once."""
        if not isinstance(spec.call, str):
            return arguments_of(spec.call)
        if spec.call not in self._calls:
            self._calls[spec.call] = arguments_of(spec.call)
        return self._calls[spec.call]

    def _known(self, spec: StudySpec, device: str) -> Any:
        """A known model's pipeline with the study's scheduler."""
        dtype = dtype_named(spec.dtype or spec.family.dtype[device.split(":")[0]])
        key = (spec.pipe, spec.model, device, dtype, spec.compile)
        if key not in self._pipelines:
            self._pipelines.clear()  # one model in memory at a time
            with about("model"):
                pipeline = load(
                    spec.family.name,
                    device=device,
                    dtype=dtype,
                    source=spec.model,
                    allow_pickle=self._allow_pickle,
                )
            self._keep(key, pipeline, spec)
        return self._with_scheduler(key, spec)

    def _own(self, spec: StudySpec, device: str) -> Any:
        """A private copy of the user's pipeline, which shares its modules but no state of calls."""
        source = spec.pipeline
        key = (source if isinstance(source, str) else id(source), spec.compile)
        if key not in self._pipelines:
            self._pipelines.clear()
            own = copy.copy(pipeline_of(source))
            own.scheduler = copy.deepcopy(own.scheduler)
            own.set_progress_bar_config(disable=True)
            where = device_of(own)
            if where != device:
                raise UsageError(
                    f"the pipeline is on {where}, but the study runs on {device}; move the "
                    f"pipeline with pipe.to({device!r}), or set device to {where}",
                    key=("device",),
                )
            self._keep(key, own, spec)
        return self._with_scheduler(key, spec)

    def _keep(self, key: tuple[Any, ...], pipeline: Any, spec: StudySpec) -> None:
        if getattr(pipeline, "safety_checker", None) is not None:
            pipeline.safety_checker = None  # it is neither timed nor in the pictures
        if spec.compile is not None:
            with about("compile"):
                compile_denoiser(pipeline, named_denoiser(pipeline), spec.compile)
        self._pipelines[key] = pipeline, pipeline.scheduler
        self._seen = set()

    def _with_scheduler(self, key: tuple[Any, ...], spec: StudySpec) -> Any:
        """Give a pipeline the scheduler of a study; its own one if the study names none."""
        pipeline, scheduler = self._pipelines[key]
        if spec.sched is None:
            pipeline.scheduler = copy.deepcopy(scheduler)
            return pipeline
        with about("sched"):
            kept = spec.pipeline is not None and keep_scheduler(pipeline, scheduler, spec.sched)
            if not kept:
                set_scheduler(pipeline, spec.sched, scheduler.config)
        return pipeline


def device_of(pipeline: Any) -> str:
    """Where a pipeline computes, also while its weights are offloaded; as `device_named` writes."""
    return device_named(str(getattr(pipeline, "_execution_device", pipeline.device)))
