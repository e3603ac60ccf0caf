"""The passes of an accelerated call whose denoiser is compiled."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tuner.accelerators import Accelerator
from tuner.formatting import listed
from tuner.pipelines.compiling import is_compiled, original
from tuner.pipelines.denoiser import called_denoiser, named_denoiser
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.graph_part import GraphPart
from tuner.pipelines.step_graphs import StepGraphs, graphs_of


def runs_compiled(pipeline: Any, accelerators: Sequence[Accelerator]) -> bool:
    """Whether calls with these accelerators run compiled code: the denoiser's is, and each can."""
    return is_compiled(called_denoiser(pipeline)) and not _uncompiled(accelerators)


def warn_if_uncompiled(pipeline: Any, accelerators: Sequence[Accelerator]) -> None:
    """Warn if the denoiser is compiled and calls with these accelerators run it uncompiled."""
    denoiser = called_denoiser(pipeline)
    names = _uncompiled(accelerators)
    if names and is_compiled(denoiser):
        warnings.warn(
            f"{listed(names)} cannot be compiled: the pictures are right, but accelerated "
            f"calls run this {type(original(denoiser)).__name__} uncompiled",
            stacklevel=2,
        )


def _uncompiled(accelerators: Sequence[Accelerator]) -> list[str]:
    plain = Accelerator.graph_part
    return [part.name for part in accelerators if type(part).graph_part is plain]


class CompiledPasses:
    """Stands for the double of a denoiser in one call: runs each pass with the graph of its kind.

    The graphs are the denoiser's and are used again in later calls; what accelerators store between
    steps is the call's.
    """

    def __init__(
        self,
        pipeline: Any,
        parts: Sequence[GraphPart],
        see_pass: Callable[[Any, tuple[Any, ...], dict[str, Any]], None],
        *,
        follow: bool,
    ) -> None:
        self._denoiser = called_denoiser(pipeline)
        self._parts = parts
        self._see_pass = see_pass
        self._follow = follow
        self._graphs: StepGraphs | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one pass."""
        self._see_pass(original(self._denoiser), args, kwargs)
        if self._graphs is None or self._follow:
            self._graphs = graphs_of(self._denoiser)
        sample = args[0] if args else kwargs.get("hidden_states", kwargs.get("sample"))
        kinds = [part.kind(sample) for part in self._parts]
        with self._graphs.lock:
            graph = self._graphs.of(self._parts, kinds)
            each = list(zip(self._parts, kinds, graph.slots, strict=True))
            try:
                for part, kind, slots in each:
                    part.give(kind, slots)
                output = graph(*args, **kwargs)
                for part, kind, slots in each:
                    part.take(kind, slots)
            finally:
                graph.clear()
        return output


@contextmanager
def compiled_passes(
    pipeline: Any,
    ordered: Sequence[Accelerator],
    generation: Generation,
    call: Call,
    see_pass: Callable[..., None],
    *,
    follow: bool,
) -> Iterator[CompiledPasses]:
    """The passes of one call, whose stored features are dropped at the end.

    Args:
        pipeline: a diffusers pipeline whose denoiser is compiled.
        ordered: accelerators in the order in which they are applied.
        generation: the state of the call.
        call: how the pipeline is called; an accelerator may change it.
        see_pass: called before each pass with the denoiser, the arguments and those by name.
        follow: whether the user's code may change the denoiser's modules between two passes.
    """
    stand_in = copy.copy(pipeline)  # so that an accelerator may give it another loop
    vars(stand_in)[named_denoiser(pipeline)] = original(called_denoiser(pipeline))
    parts = [accelerator.graph_part(stand_in, generation, call) for accelerator in ordered]
    try:
        yield CompiledPasses(pipeline, parts, see_pass, follow=follow)
    finally:
        for part in parts:
            part.reset()
        vars(stand_in).clear()
