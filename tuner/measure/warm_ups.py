"""Which settings must be generated once before they are timed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.plans.features import step_rows
from tuner.plans.plan import plan_of, shape_of
from tuner.setting import Setting
from tuner.size import Size


@dataclass(frozen=True, kw_only=True)
class WarmUps:
    """Remembers which kinds of steps a pipeline has run in this process.

    A GPU loads and chooses its kernels when tensors of a shape first come, so that a setting with a
    kind of step that did not run yet is warmed up. On a CPU that takes some milliseconds.
    """

    pipeline: Any
    device: str
    size: Size
    steps: int
    conditions: str  # a digest of what changes a step of the same kind, such as the batch size
    seen: set[Any]  # of all studies with this pipeline

    def is_due(self, setting: Setting) -> bool:
        """Whether a setting must be warmed up; its kinds of steps count as seen from now on."""
        if self.device == "cpu":
            return False
        due = not self._kinds(setting) <= self.seen
        self.add(setting)
        return due

    def add(self, setting: Setting) -> None:
        """The kinds of steps of a setting count as seen from now on."""
        self.seen.update(self._kinds(setting))

    def _kinds(self, setting: Setting) -> set[Any]:
        """What the steps of a setting compute; the setting itself where its pictures decide."""
        shape = shape_of(self.pipeline, *self.size)
        plan = plan_of(setting.accelerators, shape, self.steps)
        kinds: set[Any] = {tuple(row) for row in np.round(step_rows(plan), 6).tolist()}
        if plan.data_dependent:
            kinds.add(setting)
        return {(self.conditions, kind) for kind in kinds}
