"""Latencies of settings on the truth tables: sums over their steps; each kind was timed once.

`python -m bench.search.latency` times them.
"""

import json

import numpy as np

from bench.lib.tables import FOLDER
from tuner.plans.features import step_rows
from tuner.plans.plan import Shape, plan_of
from tuner.setting import Setting

FILE = FOLDER / "steps.json"
# The work of a step: its row of `step_rows` without the last columns, which were added later.
LATER = 3  # columns
Kind = tuple[float, ...]


class LatencySums:
    """A setting's latency as the sum of its steps, relative to the baseline's latency."""

    def __init__(self, shape: Shape, steps: int) -> None:
        """Reads what `python -m bench.search.latency` measured."""
        stored = json.loads(FILE.read_text())
        self._kinds = {tuple(row): share for row, share in stored["kinds"]}
        self.rest: float = stored["rest"]
        self._shape, self._steps = shape, steps
        self._baseline = self._latency(Setting())

    def steps(self, setting: Setting) -> list[float]:
        """The latency of each step, as a share of the baseline's latency."""
        return [self._kinds[kind] for kind in kinds(setting, self._shape, self._steps)]

    def speedup(self, setting: Setting) -> float:
        """The setting's speedup over the baseline."""
        return self._baseline / self._latency(setting)

    def _latency(self, setting: Setting) -> float:
        return sum(self.steps(setting)) + self.rest


def kinds(setting: Setting, shape: Shape, steps: int) -> list[Kind]:
    """The kind of each step of a setting."""
    rows = step_rows(plan_of(setting.accelerators, shape, steps))
    return [tuple(float(value) for value in np.round(row[:-LATER], 6)) for row in rows]
