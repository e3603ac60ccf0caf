"""A watch over a running call: the number of the step, and whether it is one pass for one step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from tuner.accelerators import Accelerator, Generation
from tuner.accelerators._call import is_guided, pictures_asked, steps_that_run
from tuner.errors import UnfitError

_COUNTED = "_num_timesteps"  # where most pipelines note how many steps they run


class Watch:
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
            with self._scheduler_watched():
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
        self._waits = True

    def _begin(self, sample: Any) -> None:
        """What is known once the first pass is there: the scheduler's timesteps are set."""
        now, pipeline = self._generation, self._pipeline
        counted = vars(pipeline).get(_COUNTED)
        now.steps = steps_that_run(pipeline, self._arguments) if counted is None else counted
        now.first = getattr(pipeline.scheduler, "begin_index", None) or 0
        pictures = pictures_asked(pipeline, self._arguments)
        rows = None if pictures is None else pictures * (1 + is_guided(pipeline, self._arguments))
        now.plain_batch = rows is None or len(sample) == rows

    @contextmanager
    def _scheduler_watched(self) -> Iterator[None]:
        scheduler = self._pipeline.scheduler
        before = vars(scheduler).get("step")
        scheduler.step = self._noting(scheduler.step)
        try:
            yield
        finally:
            del scheduler.step
            if before is not None:
                scheduler.step = before

    def _noting(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(plain)
        def step(*args: Any, **kwargs: Any) -> Any:
            moment = args[1] if len(args) > 1 else kwargs.get("timestep")
            if self._accelerators and moment is not None and moment is self._moment:
                self._refuse("takes several of its scheduler's steps in one of its steps")
            self._moment, self._waits = moment, False
            return plain(*args, **kwargs)

        return step

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
