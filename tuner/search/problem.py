"""What a sampler may know of a study before any trial."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.canonical import canonical, computation_of
from tuner.limits import Limits
from tuner.plans.features import Reuse, reuse, step_rows
from tuner.plans.plan import Plan, Shape, plan_of
from tuner.search.frontier.context import Observation
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import Aim


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a sampler may know of a study before any trial.

    `timed` times the steps of settings, or gives what an earlier run has timed.
    """

    space: Space
    shape: Shape
    steps: int
    limits: Limits
    timed: Callable[[list[Setting]], list[TimedSteps]]
    distinct: bool = False  # a grid leaves out what computes the same as a point before
    aim: Aim = "max"
    has_target: bool = False  # what was timed under another latency key is measured again
    related: Sequence[Observation] = ()  # what a related study's trials taught
    samples: int | None = None  # prompts of a trial
    prompts: int | None = None  # that a verdict may take
    known: Sequence[Setting] = ()  # whose speedups are measured, or are going to be at first

    def plan(self, setting: Setting) -> Plan:
        """What a setting computes."""
        return plan_of(setting.accelerators, self.shape, self.steps)

    def work(self, setting: Setting) -> np.ndarray:
        """The work of each step."""
        return step_rows(self.plan(setting))

    def reuse(self, setting: Setting) -> Reuse:
        """How much is reused; and knobs of what decides by the picture, zero where it is off."""
        plan = self.plan(setting)
        found = reuse(plan)
        data_dependent = []
        for kind, knobs in self.space.parts:
            values = plan.data_dependent.get(kind.name, ())
            data_dependent += [*values, *[0.0] * (len(knobs) - len(values))]
        return found._replace(summary=np.append(found.summary, data_dependent))

    def identity(self, setting: Setting) -> tuple[Any, ...]:
        """Equal for all that are the same computation."""
        return computation_of(setting, self.shape, self.steps)

    def canonical(self, setting: Setting) -> Setting:
        """One setting for all that are the same computation."""
        return canonical(setting, self.shape, self.steps)
