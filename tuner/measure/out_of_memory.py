"""Running out of memory: an error of one line that names a remedy, and the memory is freed."""

import gc
import traceback
from types import TracebackType

from tuner.errors import TunerError

# Parts of the messages of libraries that cannot allocate their workspace.
_WORDS = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "unable to find an engine")


class memory_errors:  # noqa: N801 - reads as a statement
    """Context manager that replaces an out-of-memory error by an error of this package.

    An exception refers to the frames that it passed through, and these to the tensors that filled
    the memory, as long as the exception exists; Optuna refers to it until the next garbage
    collection. So the frames are cleared first, and then the device's cache is emptied.
    """

    def __init__(self, kind: type[TunerError], message: str) -> None:
        """`kind` and `message` of the error that is raised instead."""
        self._kind, self._message = kind, message

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or not _is_out_of_memory(error):
            return
        import torch

        traceback.clear_frames(trace)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise self._kind(self._message) from None


def remedy(batch_size: int) -> str:
    """What to change where batches of this size need too much memory."""
    if batch_size > 1:
        return "use a smaller batch_size"
    return "use a lower resolution or dtype float16"


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
