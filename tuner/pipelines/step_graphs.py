"""The compiled passes of a denoiser: one double and one graph for each kind of pass.

They are kept with the denoiser, so that later calls, and later settings whose passes are of the
same kinds, compile nothing. They are discarded when other code changes the denoiser.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import RLock
from types import CodeType
from typing import Any

from tuner.pipelines.compiling import Compiler, compiler_of, compilers_of_blocks, original
from tuner.pipelines.double import Doubles, double_of
from tuner.pipelines.graph_part import GraphPart, Slot
from tuner.pipelines.snapshot import Snapshot

_KEPT = "_tuner_step_graphs"  # the attribute of a denoiser that holds its `StepGraphs`
# A setting has at most about ten kinds of passes. Each holds generated code and, with CUDA graphs,
# memory of the GPU, so that a study of many settings must not keep all that it ever compiled.
MOST_KEPT = 32


class StepGraph:
    """A double that is patched for one kind of pass, and compiled as the denoiser is."""

    def __init__(
        self, denoiser: Any, parts: Sequence[GraphPart], kinds: Sequence[Hashable]
    ) -> None:
        self._compiler = compiler_of(denoiser)
        # Hooks of the denoiser itself are part of what was compiled; otherwise they run outside.
        self._double, doubles = double_of(
            original(denoiser), with_own_hooks=self._compiler is not None
        )
        idle = set[Any]().union(
            *(part.idle(self._double, kind) for part, kind in zip(parts, kinds, strict=True))
        )
        self.slots = [
            part.patch(self._double, kind, idle) for part, kind in zip(parts, kinds, strict=True)
        ]
        self._codes: list[CodeType] = []
        self._blocks = {} if self._compiler else _compiled_blocks(original(denoiser), doubles)
        self._run: Callable[..., Any] = self._double
        self._compile()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a pass."""
        import torch

        if self.graphs() >= _limit() * len(self._codes):
            self._compile()
        on_gpu = args[0].is_cuda if args else False
        if on_gpu:
            torch.compiler.cudagraph_mark_step_begin()
        output = self._run(*args, **kwargs)
        if not on_gpu:
            return output
        # CUDA graphs write the next pass's outputs to the same memory.
        for slot in self.all_slots():
            slot.left = cloned(slot.left)
        return cloned(output)

    def all_slots(self) -> list[Slot]:
        """The slots of all parts."""
        return [slot for slots in self.slots for slot in slots]

    def clear(self) -> None:
        """Drop the tensors in the slots after a pass."""
        for slot in self.all_slots():
            slot.clear()

    def graphs(self) -> int:
        """How many times this was compiled: again, for example, for another batch size."""
        from torch._dynamo.eval_frame import _debug_get_cache_entry_list

        return sum(len(_debug_get_cache_entry_list(code)) for code in self._codes)

    def _compile(self) -> None:
        """Compile, or compile anew.

        Dynamo keeps graphs by code object. With one of its own, a kind of pass neither counts
        towards the limit of recompilations of another (from which on dynamo would run uncompiled
        code without an error), nor are its guards evaluated before those of another.
        """
        self._codes.clear()
        if self._compiler is not None:
            function = _calling(self._double, None)
            self._codes.append(function.__code__)
            self._run = self._compiler(function)
            return
        codes: dict[Any, CodeType] = {}  # by class, so that equal blocks share graphs
        for block, compiler in self._blocks.items():
            function = _calling(block, codes.get(type(block)))
            codes[type(block)] = function.__code__
            block._compiled_call_impl = compiler(function)
        self._codes.extend(codes.values())


class StepGraphs:
    """The graphs of a denoiser by the kinds of its passes."""

    def __init__(self, denoiser: Any) -> None:
        self._denoiser = denoiser
        self._snapshot = Snapshot(original(denoiser), frozenset({"forward", _KEPT}))
        self._graphs: OrderedDict[Hashable, StepGraph] = OrderedDict()
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
        graph = self._graphs.pop(key, None) or StepGraph(self._denoiser, parts, kinds)
        self._graphs[key] = graph
        while len(self._graphs) > MOST_KEPT:
            self._graphs.popitem(last=False)
        return graph

    def graphs(self) -> list[int]:
        """By kind of pass: how many times it was compiled."""
        return [graph.graphs() for graph in self._graphs.values()]


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


def _compiled_blocks(denoiser: Any, doubles: Doubles) -> dict[Any, Compiler]:
    compilers = compilers_of_blocks(denoiser)
    return {doubles[module]: compiler for module, compiler in compilers.items()}


def _calling(module: Any, code: CodeType | None) -> Any:
    """A function that calls a module, with this code object or with a new one."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return module._call_impl(*args, **kwargs)

    run.__code__ = (
        run.__code__.replace(co_name=f"pass_of_{type(module).__name__}") if (code is None) else code
    )
    return run


def _limit() -> int:
    from torch._dynamo import config

    return int(config.recompile_limit)
