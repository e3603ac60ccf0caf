"""Ctrl-C takes effect between two batches of prompts, where it cannot get lost.

A KeyboardInterrupt at any moment may be raised in a callback of the garbage collector (SQLAlchemy
has some), where Python prints and ignores it. So the first Ctrl-C is only recorded and raised by
the next `check`, or by a wait for a database that does not answer. The second one is raised at
once; should it get lost, the third ends the process, whose trial the next run queues again.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from tuner.storage.patience import Patience


@contextmanager
def terminable(*, in_background: bool = True) -> Iterator[None]:
    """For a ``with`` block: SIGTERM ends it as Ctrl-C does, which systemd and Slurm send.

    A shell that starts a process in the background has it ignore Ctrl-C, and so SIGTERM as well;
    in the block it does not. Without `in_background` such a process is left as it is: it goes on
    ignoring Ctrl-C, and SIGTERM kills it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    ignores = signal.getsignal(signal.SIGINT) != signal.default_int_handler
    if not is_main or (ignores and not in_background):
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


class Interruptible:
    """For a ``with`` block: `check` raises KeyboardInterrupt once Ctrl-C was pressed."""

    def __init__(self, on_pressed: Callable[[], None] = lambda: None) -> None:
        """`on_pressed` is called by the signal handler at the first Ctrl-C."""
        self._on_pressed = on_pressed

    def __enter__(self) -> Self:
        self.pressed = False
        self._before = signal.getsignal(signal.SIGINT)
        # Only the main thread may set a handler; a background job keeps ignoring Ctrl-C.
        self._installed = (
            threading.current_thread() is threading.main_thread()
            and self._before == signal.default_int_handler
        )
        if self._installed:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C was pressed."""
        if self.pressed:
            raise KeyboardInterrupt

    @contextmanager
    def taking_errors(self) -> Iterator[None]:
        """For a ``with`` block: an error after Ctrl-C counts as the interruption itself.

        A terminal sends Ctrl-C to all processes of a command, so that a running compiler dies too.
        """
        try:
            yield
        except Exception as error:
            if self.pressed:
                raise KeyboardInterrupt from error
            raise

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.pressed = True
        Patience.cut_short()
        self._on_pressed()
