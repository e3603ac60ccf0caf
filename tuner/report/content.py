"""What the report shows of a study, read from the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.report.importance import Importance, importance_of
from tuner.report.tried import Trial, read_trials, results_among
from tuner.search.goal import Goal
from tuner.storage.log import log_of
from tuner.study.baseline import BASELINE, attributes
from tuner.study.costs import StudyCosts, read_costs
from tuner.study.offered import group_by_combination
from tuner.study.reference import ReferenceRow, read_reference
from tuner.study.results import Result, counting
from tuner.study.sheets import Sheets, sheets_of


@dataclass(frozen=True, kw_only=True)
class Combination:
    """The settings with the same accelerators on."""

    name: str
    settings: int  # how many of them were tried
    best: Result | None  # the fastest feasible one


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """A study as the report shows it; settings with accelerators of other requests are left out."""

    name: str
    goal: Goal
    attributes: Mapping[str, Any]  # of the study
    results: list[Result]  # of complete trials, one for each setting
    stopped: list[Result]  # of trials that were stopped early
    trials: list[Trial]  # all that have ended
    unfinished: int  # trials that run or wait
    costs: StudyCosts
    sheets: Sheets
    importance: Importance
    references: list[ReferenceRow]  # the plain pipeline with fewer steps

    @property
    def baseline(self) -> dict[str, Any]:
        """The figures of the baseline as the study stores them."""
        stored: dict[str, Any] = self.attributes[BASELINE]
        return stored

    @property
    def request(self) -> dict[str, Any]:
        """What the last run asked for."""
        stored: dict[str, Any] = self.attributes["request"]
        return stored

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many trials are complete, were stopped early, and failed."""
        states = [trial.state for trial in self.trials]
        return states.count("complete"), states.count("stopped"), states.count("failed")

    @cached_property
    def best(self) -> Result | None:
        """The fastest setting that meets the goal."""
        return self.goal.reached(self.results)

    @cached_property
    def closest(self) -> Result | None:
        """Where no setting meets the goal, the one that is closest to it."""
        others = [result for result in self.stopped if not self.goal.may_be_met_by(result)]
        return None if self.best else self.goal.closest([*self.results, *others])

    @cached_property
    def front(self) -> list[Result]:
        """The Pareto front without the baseline, slowest setting first."""
        front = self.goal.front(self.results)
        return [result for result in front if result.setting.accelerators]

    @cached_property
    def combinations(self) -> list[Combination]:
        """The combinations that were tried, the one with the fastest feasible setting first."""
        groups = group_by_combination((*self.results, *self.stopped))
        complete = set(self.results_by_trial)
        combinations = [
            Combination(
                name=name,
                settings=len({result.setting for result in group}),
                best=self.goal.answer([result for result in group if result.trial in complete]),
            )
            for name, group in groups.items()
        ]
        speed = {c.name: c.best.speedup.value if c.best else 0.0 for c in combinations}
        return sorted(combinations, key=lambda c: (-speed[c.name], c.name))

    @cached_property
    def results_by_trial(self) -> dict[int, Result]:
        """The results of complete trials by the trials' numbers."""
        return {result.trial: result for result in self.results}


def read_content(study: optuna.Study) -> StudyContent:
    """Read a study that has a baseline."""
    stored = attributes(study)
    goal = Goal.of_request(stored.get("request", {}))
    trials = read_trials(study, stored, goal)
    results = goal.admitted(counting(results_among(trials, "complete")))
    stopped = goal.admitted(results_among(trials, "stopped"))
    log = log_of(study)
    return StudyContent(
        name=study.study_name,
        goal=goal,
        attributes=stored,
        results=results,
        stopped=stopped,
        trials=trials,
        unfinished=log.count(TrialState.RUNNING) + log.count(TrialState.WAITING),
        costs=read_costs(study),
        sheets=sheets_of(study),
        importance=importance_of([*results, *stopped]),
        references=read_reference(study, stored),
    )
