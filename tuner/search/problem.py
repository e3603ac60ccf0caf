"""What is known of a study before its first trial, for a sampler."""

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
    """What is known of a study before its first trial, for a sampler.

    `timed` times each step of a generation with each of these settings, or returns the times that
    an earlier run stored.
    """

    space: Space
    shape: Shape
    steps: int
    limits: Limits
    timed: Callable[[list[Setting]], list[TimedSteps]]
    distinct: bool = False  # a grid has one trial for all settings that compute the same
    aim: Aim = "max"
    min_gain: float | None = None  # stop once no setting is expected to gain this share
    # The speedup that ends the search, at the baseline's latency as it is now; with a target only
    # speedups under the current latency key count.
    target: Callable[[], float] | None = None
    warm_start: Sequence[Observation] = ()  # the trials of a source study
    timed_before: Sequence[TimedSteps] = ()  # steps that were timed in a source study
    num_samples: int | None = None  # prompts of a trial
    max_samples: int | None = None  # prompts that a setting may be measured with at most
    known: Sequence[Setting] = ()  # measured already, or going to be measured first

    def plan(self, setting: Setting) -> Plan:
        """What a setting computes."""
        return plan_of(setting.accelerators, self.shape, self.steps)

    def work(self, setting: Setting) -> np.ndarray:
        """The work of each step, shape (steps, kinds of work)."""
        return step_rows(self.plan(setting))

    def reuse(self, setting: Setting) -> Reuse:
        """How much a setting reuses, followed by the knobs of its data-dependent accelerators.

        The plan of those does not show what they reuse. Their knobs are zero where they are off.
        """
        return self._reuse_of(self.plan(setting))

    def work_and_reuse(self, setting: Setting) -> tuple[np.ndarray, Reuse]:
        """Both, from one plan."""
        plan = self.plan(setting)
        return step_rows(plan), self._reuse_of(plan)

    def _reuse_of(self, plan: Plan) -> Reuse:
        from_plan = reuse(plan)
        data_dependent = []
        for kind, knobs in self.space.parts:
            values = plan.data_dependent.get(kind.name, ())
            data_dependent += [*values, *[0.0] * (len(knobs) - len(values))]
        return from_plan._replace(summary=np.append(from_plan.summary, data_dependent))

    def identity(self, setting: Setting) -> tuple[Any, ...]:
        """A key that is equal for settings of the same computation."""
        return computation_of(setting, self.shape, self.steps)

    def canonical(self, setting: Setting) -> Setting:
        """The same setting for all settings of the same computation."""
        return canonical(setting, self.shape, self.steps)
