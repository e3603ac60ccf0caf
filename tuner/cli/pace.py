"""How fast a study advances in this run, and so how long the rest of it will take."""

import time
from collections import deque
from collections.abc import Callable

SAMPLES = 1000  # the most recent ones count: of a search all, of a sweep its last points
LEAST = 3  # trials, or points of a sweep, before which there is no estimate


class Pace:
    """Expects of the trials that are left what the last ones took."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)
        self._of = 0

    def advanced(self, done: int, of: int) -> None:
        """Take in how many trials, or points, of the study are done."""
        self._of = of
        if not self._samples or self._samples[-1][1] != done:
            self._samples.append((self._clock(), done))

    @property
    def begun_s(self) -> float | None:
        """The clock when the first trial of this run began; None before."""
        return self._samples[0][0] if self._samples else None

    @property
    def left_s(self) -> float | None:
        """The seconds that are left; None where there is no pace to derive them from."""
        if not self._samples:
            return None
        (first, before), (last, done) = self._samples[0], self._samples[-1]
        if done - before < LEAST:
            return None
        left = (self._of - done) * (last - first) / (done - before)
        return max(0.0, left - (self._clock() - last))
