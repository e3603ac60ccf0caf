"""What a study with a target verifies before it searches: where that holds, it needs no search."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import optuna

from tuner.dashboard.pages import StudyPages
from tuner.iterators import closing
from tuner.measure.evaluation import Evaluation
from tuner.measure.measurement import Measurement
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.frontier.transfer import SourceStudy
from tuner.search.goal import Goal
from tuner.search.runner.alone import FIRST, alone
from tuner.search.runner.first_verification import verify_first
from tuner.search.runner.observer import Observer, Observers
from tuner.search.runner.progress import is_new
from tuner.search.runner.stopping import StoppingRule
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.study.baseline import BASELINE, PARTS, attributes
from tuner.study.results import read_results
from tuner.study_start import StudyStart


@dataclass(frozen=True, kw_only=True)
class FirstVerification:
    """Verifies what other studies have found, where this study has a target and no trial yet.

    `measure_baseline` measures the baseline of some prompts and stores it with the study.
    """

    spec: StudySpec
    goal: Goal
    study: optuna.Study
    storage: Storage
    space: Space
    evaluation: Evaluation
    verification: Evaluation
    pages: StudyPages  # of the verification
    observer: Observer
    measure_baseline: Callable[[Evaluation], None]

    def is_due(self, source: SourceStudy | None) -> bool:
        """Whether what other studies have found is verified before this study searches itself."""
        if source is None or not self.goal.has_target or self.spec.aim != "max":
            return False
        log_of(self.study).fail_dead_trials()  # of a run that was killed at this
        return is_new(self.study)

    def has_held(self) -> bool:
        """Whether an earlier run reached the target without the baseline of the search."""
        if not self.goal.has_target or self.evaluation.has_baseline(self.storage):
            return False
        return self.goal.candidate(read_results(self.study)) is not None

    def begin(self) -> None:
        """Measure the baseline of the prompts for verifying, or leave that to the verification.

        Batches of it are then the baseline's side of the pairs that time the setting. A target in
        seconds needs the latency before, and extra metrics need the pictures before.
        """
        if self.goal.latency_s is not None or self.verification.extra_metrics:
            self.measure_baseline(self.verification)
        else:
            self.study.set_user_attr(PARTS, self.evaluation.baseline_parts)

    def run(self, start: StudyStart) -> bool:
        """Verify the setting that is likely to reach the target, if there is one; whether it holds.

        Other runs of the study wait, and then find its trial.
        """
        with alone(self.study, FIRST, observer=self.observer):
            chosen = self.study.sampler
            if not isinstance(chosen, FrontierSampler) or not is_new(self.study):
                return False
            setting = chosen.likely(self.study)
            return setting is not None and verify_first(
                self.study,
                self.goal,
                self.space.flat(setting),
                lambda trial: start.problem.canonical(self.space.suggest(trial)),
                self._measure,
                self.spec.num_samples,
                self.verification.most_prompts,
                Observers([self.observer, self.pages]),
                self.verification.ledger,
            )

    def _measure(self, setting: Setting, trial: int, rule: StoppingRule) -> Iterator[Measurement]:
        """Measure a setting; its baseline is stored with the study as soon as it is complete."""
        measurements = self.verification.measure(
            setting,
            self.storage,
            settled=rule.settled,
            of_trial=True,
            **self.pages.picture_arguments,
        )
        watched = self.pages.watched(trial, measurements)
        with closing(watched):
            for measured in watched:
                is_known = BASELINE in attributes(self.study)
                if not is_known and self.verification.has_baseline(self.storage):
                    self.measure_baseline(self.verification)  # which is in the database
                yield measured
