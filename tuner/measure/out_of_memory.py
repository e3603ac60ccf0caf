"""Running out of memory: told in one line that names what needs less, and all of it given back."""

import gc
import traceback
from types import TracebackType

from tuner.errors import TunerError

# Libraries that find no room for their workspace say so in their own words.
_WORDS = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "unable to find an engine")


class memory_errors:  # noqa: N801 - reads as a statement
    """Turns running out of memory into an error of this package, and gives the memory back.

    An exception holds the frames that it came through, and they the tensors that filled the
    memory, for as long as anyone keeps the exception: Optuna does until Python looks for cycles.
    So the frames let go of what they hold, before the device is asked to.
    """

    def __init__(self, kind: type[TunerError], message: str) -> None:
        self._kind, self._message = kind, message

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or not _of_memory(error):
            return
        import torch

        traceback.clear_frames(trace)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise self._kind(self._message) from None


def less(batch_size: int) -> str:
    """What needs less memory than batches of so many pictures."""
    if batch_size > 1:
        return "a smaller --batch-size needs less"
    return "a lower --resolution or --dtype float16 needs less"


def _of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
