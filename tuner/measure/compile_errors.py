"""A failure of torch.compile as an error of one line that says what would work."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tuner.errors import UsageError

LONGEST = 200  # characters of the reason; compilers write thousands


@contextmanager
def compile_errors(denoiser: Any) -> Iterator[None]:
    """Replace an error of torch.compile in a ``with`` block that runs a denoiser.

    Raises:
        UsageError: torch.compile failed.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_of_compiling(error):
            raise
        cause = getattr(error, "inner_exception", error)
        kind = type(cause).__name__
        reason = f"{kind}: {(str(cause).splitlines() or [''])[0]}"[:LONGEST]
        install = "install a C++ compiler (apt install g++), or " if "Cxx" in kind else ""
        raise UsageError(
            f"torch.compile cannot compile the {type(denoiser).__name__} ({reason}); {install}"
            "measure it uncompiled"
        ) from error


def _is_of_compiling(error: BaseException) -> bool:
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        return False
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)
