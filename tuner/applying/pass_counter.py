"""A watch over a running call: the number of the step, and whether it is one pass for one step."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tuner.accelerators import Accelerator
from tuner.errors import UnfitError, UsageError
from tuner.pipelines.calls import is_guided, pictures_asked, steps_that_run
from tuner.pipelines.generation import Generation
from tuner.pipelines.steps import told_of_steps

_COUNTED = "_num_timesteps"  # where most pipelines note how many steps they run


class PassCounter:
    """Counts the denoiser's passes against the scheduler's steps, for what depends on the count.

    Accelerators take a pass of the denoiser for a step of the scheduler. A pipeline that makes
    several for one (for guidance of another kind, or of several views in turn) would get features
    of the wrong pass and draw a wrong picture: here the call ends with an `UnfitError` instead.
    Which pipelines do so need not be known.
    """

    def __init__(
        self, pipeline: Any, generation: Generation, accelerators: Sequence[Accelerator]
    ) -> None:
        self._pipeline = pipeline
        self._generation = generation
        self._accelerators = accelerators
        self._names = "+".join(one.name for one in accelerators)
        self._arguments: Mapping[str, Any] = {}
        self._runs = False
        self._sizes: tuple[Any, ...] = ()
        self._waits = False  # a pass is done, and the scheduler has not taken its step
        self._moment: Any = None  # of the scheduler's last step

    @contextmanager
    def over(self, arguments: Mapping[str, Any], denoiser: Any) -> Iterator[None]:
        """Watch one call with these arguments.

        A call that breaks off leaves the denoiser's attention processors as they were: some
        pipelines exchange them, and put them back at the end only.
        """
        self._arguments, self._runs = arguments, True
        self._sizes, self._waits, self._moment = (), False, None
        self._generation.step = -1
        counted = vars(self._pipeline).pop(_COUNTED, None)
        processors = [
            (module, module.processor)
            for module in denoiser.modules()
            if hasattr(module, "set_processor")
        ]
        try:
            with told_of_steps(self._pipeline.scheduler, self._see_step):
                yield
        except BaseException:
            for module, processor in processors:
                if module.processor is not processor:
                    module.set_processor(processor)
            raise
        finally:
            self._arguments, self._runs, self._moment = {}, False, None
            if counted is not None:
                vars(self._pipeline).setdefault(_COUNTED, counted)

    def see_pass(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """As the denoiser's first hook before its forward: count, compare, and refuse."""
        now = self._generation
        now.step += 1
        if not self._runs:
            return  # somebody calls the denoiser itself
        sizes = _sizes(args, kwargs)
        now.resized = now.step > 0 and sizes != self._sizes
        self._sizes = sizes
        if now.step == 0:
            self._begin(args[0] if args else kwargs.get("hidden_states", kwargs.get("sample")))
        if not self._accelerators:
            return
        what = f"passes through the {type(module).__name__}"
        if self._waits:
            self._refuse(f"{what} again within step {now.step - 1}")
        if now.step >= now.steps:
            self._refuse(f"{what} more often than its {now.steps} steps")
        for one in self._accelerators:
            one.check_pass(now)
        # Where somebody replaced the scheduler's own `step`, nobody tells of its steps.
        self._waits = "step" not in vars(self._pipeline.scheduler)

    def _begin(self, sample: Any) -> None:
        """What is known once the first pass is there: the scheduler's timesteps are set."""
        now, pipeline = self._generation, self._pipeline
        now.steps = self._steps_that_run()
        now.first = getattr(pipeline.scheduler, "begin_index", None) or 0
        pictures = pictures_asked(pipeline, self._arguments)
        rows = None if pictures is None else pictures * (1 + is_guided(pipeline, self._arguments))
        now.plain_batch = rows is None or len(sample) == rows

    def _steps_that_run(self) -> int:
        counted = vars(self._pipeline).get(_COUNTED)
        if counted is not None:
            return int(counted)
        try:
            return steps_that_run(self._pipeline, self._arguments)
        except UsageError:  # the call's arguments do not tell
            return len(self._pipeline.scheduler.timesteps)

    def _see_step(self, moment: Any) -> None:
        """Before each step of the scheduler, which is told the timestep."""
        again = self._is_last_moment(moment)
        self._moment, self._waits = moment, False
        if self._accelerators and again:
            self._refuse("takes several of its scheduler's steps in one of its steps")

    def _is_last_moment(self, moment: Any) -> bool:
        """Whether it is the timestep of the last step: the same place in the scheduler's list.

        Places in memory are compared, not values: on a GPU those would have to be waited for.
        """
        last = self._moment
        if hasattr(moment, "data_ptr") and hasattr(last, "data_ptr"):
            return bool(moment.data_ptr() == last.data_ptr())
        if isinstance(moment, int | float) and moment == last:
            timesteps = [float(one) for one in self._pipeline.scheduler.timesteps]
            return timesteps.count(float(moment)) < 2  # some schedulers have one twice
        return False

    def _refuse(self, how: str) -> None:
        raise UnfitError(
            f"{self._names} counts one pass for each denoising step, and this call of "
            f"{type(self._pipeline).__name__} {how}; make it without accelerators, or without the "
            "argument that adds passes"
        )


def _sizes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The shapes of all tensors that a pass is given."""
    return tuple(
        (name, tuple(one.shape))
        for name, one in (*enumerate(args), *kwargs.items())
        if hasattr(one, "shape")
    )
