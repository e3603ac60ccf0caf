"""Latencies of settings on the truth tables: sums over steps, whose kinds were timed once.

`python -m bench.search.latency` times them.
"""

import json

import numpy as np

from bench.lib.tables import FOLDER
from tuner.plans.features import step_rows
from tuner.plans.plan import Shape, plan_of
from tuner.setting import Setting

FILE = FOLDER / "steps.json"
Kind = tuple[float, ...]  # what a step computes


class Sums:
    """The latencies that the kinds of steps add up to, relative to the baseline's."""

    def __init__(self, shape: Shape, steps: int) -> None:
        """Reads what `python -m bench.search.latency` measured."""
        found = json.loads(FILE.read_text())
        self._kinds = {tuple(row): seconds for row, seconds in found["kinds"]}
        self.rest: float = found["rest"]
        self._shape, self._steps = shape, steps
        self._baseline = self._latency(Setting())

    def steps(self, setting: Setting) -> list[float]:
        """The latency of each step, in units of the baseline's whole."""
        return [self._kinds[kind] for kind in kinds(setting, self._shape, self._steps)]

    def speedup(self, setting: Setting) -> float:
        """Over the baseline."""
        return self._baseline / self._latency(setting)

    def _latency(self, setting: Setting) -> float:
        return sum(self.steps(setting)) + self.rest


def kinds(setting: Setting, shape: Shape, steps: int) -> list[Kind]:
    """What each step does; the first full guided step of all kinds alike, whatever the setting."""
    rows = step_rows(plan_of(setting.accelerators, shape, steps))
    return [tuple(float(value) for value in np.round(row, 6)) for row in rows]
