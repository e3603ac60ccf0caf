"""The outcome of a run, as `tuner.run` returns it."""

from dataclasses import dataclass

import optuna

from tuner.search.goal import Goal
from tuner.study.picked import picked_result
from tuner.study.reference import ReferenceRow, read_reference
from tuner.study.results import Result


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a run: the Optuna study, the goal, and the results of all complete trials."""

    study: optuna.Study
    goal: Goal
    results: list[Result]
    timed_out: bool = False  # the timeout had passed when the run ended
    is_over: bool = True  # False: other workers do what is left, and this one did not wait for them

    @property
    def best(self) -> Result | None:
        """The fastest feasible result, or with a target the fastest that meets it; else None."""
        return self.goal.reached(self.results)

    @property
    def front(self) -> list[Result]:
        """The Pareto front of speedup and score loss, with the best: see `Goal.front`."""
        return self.goal.front(self.results)

    @property
    def reference(self) -> list[ReferenceRow]:
        """What the plain pipeline measures with fewer steps, slowest first."""
        return read_reference(self.study)

    def pick(self, rule: str) -> Result:
        """The result that a rule picks.

        Args:
            rule: 'fastest', 'knee', a bound such as 'loss<=0.5%', 'speedup>=2' or 'lpips<=0.1', or
                'trial 7' for that of one trial, feasible or not.

        Raises:
            UsageError: the rule is unknown, or it picks nothing; the line names the nearest result.
        """
        results = self.goal.admitted(self.results)
        return picked_result(rule, results, self.goal.limits, self.study.study_name)
