"""Counts the steps of a running call, and checks that each step is one pass of the denoiser."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tuner.accelerators import Accelerator
from tuner.errors import UnfitError, UsageError
from tuner.formatting import listed
from tuner.pipelines.calls import is_guided, pictures_requested, steps_that_run, values_of
from tuner.pipelines.generation import Generation
from tuner.pipelines.steps import notified_of_steps

ADD_PASSES = ("sag_scale",)  # arguments of diffusers' pipelines that add passes unless they are 0
_STEP_COUNT = "_num_timesteps"  # the attribute in which most pipelines store their steps


class PassCounter:
    """Compares the passes of the denoiser with the steps of the scheduler, during one call.

    Accelerators assume one pass of the denoiser for each step of the scheduler. A pipeline that
    makes several (for other kinds of guidance, or for several views in turn) would reuse features
    of the wrong pass and draw a wrong picture. Its call ends with an `UnfitError` instead, without
    a list of such pipelines.
    """

    def __init__(
        self, pipeline: Any, generation: Generation, accelerators: Sequence[Accelerator]
    ) -> None:
        self._pipeline = pipeline
        self._generation = generation
        self._accelerators = accelerators
        self._names = " + ".join(accelerator.name for accelerator in accelerators)
        self._arguments: Mapping[str, Any] = {}
        self._running = False
        self._sizes: tuple[Any, ...] = ()
        self._step_due = False  # after a pass, until the scheduler takes its step
        self._timestep: Any = None  # of the scheduler's last step

    @contextmanager
    def during(self, arguments: Mapping[str, Any], denoiser: Any) -> Iterator[None]:
        """Count during one call with these arguments.

        If the call fails, the denoiser's attention processors are restored: some pipelines
        exchange them, and put the old ones back only at the end of the call.
        """
        self._arguments, self._running = arguments, True
        self._sizes, self._step_due, self._timestep = (), False, None
        self._generation.step = -1
        step_count = vars(self._pipeline).pop(_STEP_COUNT, None)
        processors = [
            (module, module.processor)
            for module in denoiser.modules()
            if hasattr(module, "set_processor")
        ]
        try:
            with notified_of_steps(self._pipeline.scheduler, self._see_step):
                yield
        except BaseException:
            for module, processor in processors:
                if module.processor is not processor:
                    module.set_processor(processor)
            raise
        finally:
            self._arguments, self._running, self._timestep = {}, False, None
            if step_count is not None:
                vars(self._pipeline).setdefault(_STEP_COUNT, step_count)

    def see_pass(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A hook to run first before each forward of the denoiser: counts and checks the pass.

        Raises:
            UnfitError: it is a further pass within a step, or an accelerator does not fit it.
        """
        generation = self._generation
        generation.step += 1
        if not self._running:
            return  # the denoiser is called by itself, outside the call
        sizes = _sizes(args, kwargs)
        generation.resized = generation.step > 0 and sizes != self._sizes
        self._sizes = sizes
        if generation.step == 0:
            self._begin(args[0] if args else kwargs.get("hidden_states", kwargs.get("sample")))
        if not self._accelerators:
            return
        what = f"runs the {type(module).__name__}"
        if self._step_due:
            self._refuse(f"{what} a second time within step {generation.step - 1}")
        if generation.step >= generation.steps:
            self._refuse(f"{what} more often than its {generation.steps} steps")
        for accelerator in self._accelerators:
            accelerator.check_pass(generation)
        # If other code replaced the `step` of this scheduler, its steps are not reported.
        self._step_due = "step" not in vars(self._pipeline.scheduler)

    def _begin(self, sample: Any) -> None:
        """Fill in what is known at the first pass, when the scheduler's timesteps are set."""
        generation, pipeline = self._generation, self._pipeline
        generation.steps = self._steps_that_run()
        generation.first = getattr(pipeline.scheduler, "begin_index", None) or 0
        pictures = pictures_requested(pipeline, self._arguments)
        rows = None if pictures is None else pictures * (1 + is_guided(pipeline, self._arguments))
        generation.plain_batch = rows is None or len(sample) == rows

    def _steps_that_run(self) -> int:
        step_count = vars(self._pipeline).get(_STEP_COUNT)
        if step_count is not None:
            return int(step_count)
        try:
            return steps_that_run(self._pipeline, self._arguments)
        except UsageError:  # it does not follow from the arguments
            return len(self._pipeline.scheduler.timesteps)

    def _see_step(self, timestep: Any) -> None:
        """Called with the timestep before each step of the scheduler."""
        repeated = self._is_last(timestep)
        self._timestep, self._step_due = timestep, False
        if self._accelerators and repeated:
            self._refuse("takes several scheduler steps at one timestep")

    def _is_last(self, timestep: Any) -> bool:
        """Whether it is the timestep of the last step: the same entry of the scheduler's list.

        Addresses of tensors are compared, not values, which on a GPU would have to be waited for.
        """
        last = self._timestep
        if hasattr(timestep, "data_ptr") and hasattr(last, "data_ptr"):
            return bool(timestep.data_ptr() == last.data_ptr())
        if isinstance(timestep, int | float) and timestep == last:
            timesteps = [float(value) for value in self._pipeline.scheduler.timesteps]
            return timesteps.count(float(timestep)) < 2  # some schedulers list one twice
        return False

    def _remedy(self) -> str:
        adding = [
            name for name in ADD_PASSES if values_of(self._pipeline, self._arguments).get(name)
        ]
        if adding:
            return f"set {listed(adding)} to 0, or call it without accelerators"
        return "call it without accelerators"

    def _refuse(self, how: str) -> None:
        raise UnfitError(
            f"{self._names} needs one pass for each denoising step, and this call of "
            f"{type(self._pipeline).__name__} {how}; {self._remedy()}"
        )


def _sizes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The shapes of all tensors among the arguments of a pass."""
    return tuple(
        (name, tuple(value.shape))
        for name, value in (*enumerate(args), *kwargs.items())
        if hasattr(value, "shape")
    )
