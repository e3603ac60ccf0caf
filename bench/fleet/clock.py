"""Simulated time: workers that sleep take turns, and no time passes.

Each worker is a thread, of which one runs at a time: the one that wakes next. Between two sleeps
everything takes no time. So a run of many workers is the same each time, and takes as long as what
they compute.
"""

import heapq
import threading
from collections.abc import Callable, Sequence
from itertools import count


class Clock:
    """The clock of the workers; `now` is in seconds since the start."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()  # of workers that wake at the same time: first come, first served
        self._asleep: list[tuple[float, int, threading.Event]] = []
        self._turn_ended = threading.Event()
        self._errors: list[BaseException] = []

    def run(self, workers: Sequence[Callable[[], None]]) -> None:
        """Run workers until all have ended; raises the first error of any."""
        for work in workers:
            wake = threading.Event()
            self._add(0.0, wake)
            threading.Thread(target=self._work, args=(work, wake), daemon=True).start()
        while self._asleep and not self._errors:
            self.now, _, wake = heapq.heappop(self._asleep)
            self._turn_ended.clear()
            wake.set()
            self._turn_ended.wait()
        if self._errors:
            raise self._errors[0]

    def sleep(self, seconds: float) -> None:
        """Let the other workers run until this one wakes; called by a worker."""
        wake = threading.Event()
        self._add(self.now + seconds, wake)
        self._turn_ended.set()
        wake.wait()

    def _add(self, at: float, wake: threading.Event) -> None:
        heapq.heappush(self._asleep, (at, next(self._order), wake))

    def _work(self, work: Callable[[], None], wake: threading.Event) -> None:
        wake.wait()
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
        self._turn_ended.set()
