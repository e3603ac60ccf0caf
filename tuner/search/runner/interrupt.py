"""Ctrl-C between two blocks of prompts, where nothing can swallow it.

Raised at any moment, a KeyboardInterrupt may land in a garbage collector's callback (SQLAlchemy has
some), where Python prints and forgets it. So the first Ctrl-C is noted and acted upon at the next
safe place; the second one is raised at once.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interruptible:
    """For a ``with`` block: `check` raises KeyboardInterrupt once Ctrl-C was pressed."""

    def __enter__(self) -> Self:
        self.pressed = False
        self._before = signal.getsignal(signal.SIGINT)
        # Only the main thread may; and a background job's Ctrl-C stays off.
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and self._before == signal.default_int_handler
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C was pressed."""
        if self.pressed:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
