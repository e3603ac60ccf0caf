"""By how much predicted speedups are off, learned from the trials that were timed in pairs."""

from collections.abc import Sequence

import numpy as np

from tuner.search.frontier.acquisition import SPREAD
from tuner.search.frontier.context import Observation, timings_of
from tuner.search.frontier.quality_model import QualityModel
from tuner.search.frontier.table import CandidateTable


class SpeedError:
    """A Gaussian process of the logarithm of measured over predicted speedup.

    The plan of a data-dependent accelerator does not tell which steps it computes, so that its
    speedups cannot be predicted from timed steps alone.
    """

    def __init__(self, table: CandidateTable) -> None:
        self._table = table
        self._model = QualityModel(0.0, unit=1.0, summary=table.scale.summary)

    def corrected(self, speedups: np.ndarray, results: Sequence[Observation]) -> np.ndarray:
        """The predictions for all rows, moved towards what was measured nearby, where they are off.

        They are left as they are where fewer than three trials were timed, or most agree.
        """
        timed = timings_of(results)
        rows = [self._table.row(setting) for setting, _ in timed]
        error = np.log([timing.speedup for _, timing in timed]) - np.log(speedups[rows])
        if len(timed) < 3 or np.median(np.abs(error)) < 2 * SPREAD:
            return speedups
        self._model.fit(self._table.points[rows], error, np.full(len(timed), SPREAD))
        mean, _ = self._model.predict(self._table.points)
        moved: np.ndarray = speedups * np.exp(self._model.stretch(mean))
        return moved
