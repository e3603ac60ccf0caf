"""The compiled passes of a denoiser: one double and one graph for each kind of pass.

They are kept with the denoiser, so that later calls, and later settings whose passes are of the
same kinds, compile nothing. They are discarded when other code changes the denoiser.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from threading import RLock
from types import CodeType
from typing import Any

from tuner.pipelines.compiling import compiler_of, compilers_of_blocks, original
from tuner.pipelines.double import double_of
from tuner.pipelines.graph_part import GraphPart, Slot
from tuner.pipelines.snapshot import Snapshot

_KEPT = "_tuner_step_graphs"  # the attribute of a denoiser that holds its `StepGraphs`
# A setting has at most about ten kinds of passes. Each holds generated code and, with CUDA graphs,
# memory of the GPU, so that a study of many settings must not keep all that it ever compiled.
MOST_KEPT = 32
# Dynamo's own limit is eight graphs of one code object; from then on it would run new shapes
# uncompiled, without an error. Here it compiles anew.
MOST_GRAPHS = 64
_numbers = count()


class StepGraph:
    """A double that is patched for one kind of pass, and compiled as the denoiser is."""

    def __init__(
        self,
        denoiser: Any,
        parts: Sequence[GraphPart],
        kinds: Sequence[Hashable],
        codes: dict[Hashable, CodeType],
    ) -> None:
        """`codes` are those of blocks that are compiled one by one, shared by all kinds."""
        compiler = compiler_of(denoiser)
        # Hooks of the denoiser itself are part of what was compiled; otherwise they run outside.
        double, doubles = double_of(original(denoiser), with_own_hooks=compiler is not None)
        each = list(zip(parts, kinds, strict=True))
        idle = set[Any]().union(*(part.idle(double, kind) for part, kind in each))
        self.slots = [part.patch(double, kind, idle) for part, kind in each]
        self._double, self._compiler, self._codes = double, compiler, codes
        by_block = {} if compiler else compilers_of_blocks(original(denoiser))
        self._blocks = {doubles[module]: compiler for module, compiler in by_block.items()}
        self._patches = tuple(kind for part, kind in each if part.within_blocks)
        self._run: Callable[..., Any] = double
        self._compile()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a pass."""
        import torch
        from torch._dynamo import config
        from torch._dynamo.exc import FailOnRecompileLimitHit

        on_gpu = bool(args) and args[0].is_cuda
        if on_gpu:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with config.patch(recompile_limit=MOST_GRAPHS, fail_on_recompile_limit_hit=True):
            try:
                output = self._run(*args, **kwargs)
            except FailOnRecompileLimitHit:
                self._codes.clear()
                self._compile()
                output = self._run(*args, **kwargs)
        if not on_gpu:
            return output
        # CUDA graphs write the next pass's outputs to the same memory.
        for slot in self._all_slots():
            slot.left = cloned(slot.left)
        return cloned(output)

    def clear(self) -> None:
        """Drop the tensors in the slots after a pass."""
        for slot in self._all_slots():
            slot.clear()

    def _all_slots(self) -> list[Slot]:
        return [slot for slots in self.slots for slot in slots]

    def _compile(self) -> None:
        """Compile, or compile anew.

        Dynamo keeps graphs by code object, and evaluates the guards of each until one fits. With
        code objects of its own, a kind of pass does not meet the graphs of others.
        """
        if self._compiler is not None:
            self._run = self._compiler(_calling(self._double, None))
        for block, compiler in self._blocks.items():
            key = (type(block), self._patches)  # equal blocks share graphs
            function = _calling(block, self._codes.get(key))
            self._codes[key] = function.__code__
            block._compiled_call_impl = compiler(function)


class StepGraphs:
    """The graphs of a denoiser by the kinds of its passes."""

    def __init__(self, denoiser: Any) -> None:
        self._denoiser = denoiser
        self._snapshot = Snapshot(
            original(denoiser),
            frozenset({"forward", _KEPT}),
            own_hooks=compiler_of(denoiser) is not None,
        )
        self._graphs: OrderedDict[Hashable, StepGraph] = OrderedDict()
        self._codes: dict[Hashable, CodeType] = {}
        # One pass at a time: the slots of a graph hold the tensors of one call.
        self.lock = RLock()

    def __deepcopy__(self, memo: Any) -> None:
        """A copy of the denoiser has no graphs."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return (type(None), ())  # nor has one that is unpickled

    def fresh(self) -> bool:
        """Whether the denoiser is as it was when these graphs were made."""
        return self._snapshot.still_true()

    def of(self, parts: Sequence[GraphPart], kinds: Sequence[Hashable]) -> StepGraph:
        """The graph for passes of these kinds, which is compiled when it first runs."""
        key = tuple((type(part), kind) for part, kind in zip(parts, kinds, strict=True))
        graph = self._graphs.pop(key, None)
        if graph is None:
            graph = StepGraph(self._denoiser, parts, kinds, self._codes)
        self._graphs[key] = graph
        while len(self._graphs) > MOST_KEPT:
            self._graphs.popitem(last=False)
        return graph

    def __len__(self) -> int:
        """The number of kinds of passes that are kept."""
        return len(self._graphs)


def graphs_of(denoiser: Any) -> StepGraphs:
    """The graphs that are kept for a denoiser; new ones if other code has changed it since."""
    module = original(denoiser)
    kept: StepGraphs | None = vars(module).get(_KEPT)
    if kept is None or kept._denoiser is not denoiser or not kept.fresh():
        kept = vars(module)[_KEPT] = StepGraphs(denoiser)
    return kept


def cloned(value: Any) -> Any:
    """The value with clones of all tensors in it: in tuples, lists and outputs of diffusers."""
    if isinstance(value, tuple | list):
        return type(value)(cloned(item) for item in value)
    if isinstance(value, dict):
        return type(value)(**{name: cloned(item) for name, item in value.items()})
    return value.clone() if hasattr(value, "clone") else value


def _calling(module: Any, code: CodeType | None) -> Any:
    """A function that calls a module, with this code object or with a new one."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return module._call_impl(*args, **kwargs)

    # Dynamo remembers by the name which sizes vary. Another name, or it would compile a kind of
    # pass with half the batch for any size, which is slower.
    name = f"pass_{next(_numbers)}_of_{type(module).__name__}"
    run.__code__ = code or run.__code__.replace(co_name=name)
    return run
