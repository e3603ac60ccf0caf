"""What torch.compile does while a batch is generated: its seconds, and the graphs it compiles."""

import sys
import time
from types import TracebackType
from typing import Any, Self


class CompileMeter:
    """Measures a ``with`` block; `seconds` and `graphs` are known afterwards.

    Recording a CUDA graph counts as compiling too, but is no graph more.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.graphs = 0
        self._start = 0.0
        self._callbacks: Any = None

    def __enter__(self) -> Self:
        # Importing it takes seconds. Where nothing is compiled, it may not be loaded.
        if "torch._dynamo" in sys.modules:
            from torch._dynamo.callback import callback_handler

            self._graphs_before = _unique_graphs()
            self._callbacks = callback_handler
            self._callbacks.register_start_callback(self._begin)
            self._callbacks.register_end_callback(self._end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._callbacks is not None:
            self._callbacks.remove_start_callback(self._begin)
            self._callbacks.remove_end_callback(self._end)
            self._callbacks = None
            self.graphs = _unique_graphs() - self._graphs_before

    @property
    def compiled(self) -> bool:
        """Whether anything was compiled or recorded in the block."""
        return self.seconds > 0

    def _begin(self, *args: Any) -> None:
        self._start = time.perf_counter()

    def _end(self, *args: Any) -> None:
        self.seconds += time.perf_counter() - self._start


def _unique_graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
