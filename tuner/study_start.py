"""What a study begins with: its problem for the sampler, its first settings, its warm start."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import optuna

from tuner.measure.evaluation import Evaluation
from tuner.plans.plan import shape_of
from tuner.sampler_table import sampler_row
from tuner.search.frontier.transfer import (
    SourceStudy,
    first_of_each,
    source_study,
    timed_elsewhere,
)
from tuner.search.goal import Goal
from tuner.search.problem import Problem
from tuner.search.runner.observer import Observer
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.study.baseline import Baseline, attributes
from tuner.study.results import read_results
from tuner.timed_steps import timed_steps


@dataclass(frozen=True, kw_only=True)
class StudyStart:
    """What is known before this run's first trial.

    `first` are the settings that a new study measures before its sampler proposes any.
    """

    problem: Problem
    first: Sequence[Setting]

    @classmethod
    def of(
        cls,
        spec: StudySpec,
        evaluation: Evaluation,
        space: Space,
        storage: Storage,
        study: optuna.Study,
        goal: Goal,
    ) -> "StudyStart":
        """Without a warm start."""

        def target() -> float:
            """The speedup that reaches the target, at the baseline's latency as it is now."""
            return goal.least_speedup(Baseline.of(attributes(study)).latency_s) or 1.0

        problem = Problem(
            space=space,
            shape=shape_of(evaluation.pipeline, *evaluation.size),
            steps=evaluation.steps,
            limits=goal.limits,
            timed=lambda settings: timed_steps(settings, evaluation, storage),
            distinct=spec.distinct,
            aim=spec.aim,
            min_gain=spec.min_gain,
            target=target if goal.has_target else None,
            num_samples=spec.num_samples,
            max_samples=evaluation.most_prompts,
        )
        return cls(problem=problem, first=_of_the_papers(spec, space))

    def source(self, spec: StudySpec, storage: Storage, study: optuna.Study) -> SourceStudy | None:
        """What other studies in the database have found, where the sampler can use that."""
        if not spec.transfer or not sampler_row(spec.sampler).warm_starts:
            return None
        return source_study(study, storage, self.problem)

    def warm(
        self,
        spec: StudySpec,
        storage: Storage,
        study: optuna.Study,
        source: SourceStudy | None,
        observer: Observer,
    ) -> "StudyStart":
        """With what other studies have found; the baseline was measured."""
        if not sampler_row(spec.sampler).warm_starts:  # saves reading a long sweep's trials
            return self
        problem, first = self.problem, self.first
        if source is not None:
            observer.notice(
                f"warm start from {source}; transfer = false (--no-transfer) disables it"
            )
            timed = timed_elsewhere(study, storage, problem)
            problem = replace(problem, warm_start=source.observations, timed_before=timed)
            first = source.first(spec.aim) or first
        if source is not None and problem.target is not None and spec.aim == "max":
            first = []  # the sampler knows which setting is likely to reach the target
        measured = [result.setting for result in read_results(study)]
        problem = replace(problem, known=measured if study.trials else first)
        return StudyStart(problem=problem, first=first)


def _of_the_papers(spec: StudySpec, space: Space) -> list[Setting]:
    """The settings of the papers that a new study begins with.

    To find the fastest setting, `frontier` needs only one of them, with all accelerators on: in
    simulations the first trials of its own choice cost less (`bench.search`).
    """
    known = space.known_good()
    if sampler_row(spec.sampler).stops_early and spec.aim == "max" and known:
        return [max(known, key=lambda setting: len(setting.accelerators))]
    return first_of_each(known) if spec.aim == "combinations" else known
