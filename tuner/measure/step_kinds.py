"""Which steps of a setting compute the same."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.plans.features import step_rows
from tuner.plans.plan import plan_of, shape_of
from tuner.setting import Setting


@dataclass(frozen=True, kw_only=True)
class StepKinds:
    """Tells the steps of settings of one pipeline apart by the work that they compute."""

    pipeline: Any
    resolution: int
    steps: int

    def of(self, setting: Setting) -> list[Hashable] | None:
        """The kind of each step; None where the pictures decide what a step computes."""
        shape = shape_of(self.pipeline, self.resolution)
        plan = plan_of(setting.accelerators, shape, self.steps)
        if plan.data_dependent:
            return None
        return [tuple(row) for row in np.round(step_rows(plan), 6).tolist()]
