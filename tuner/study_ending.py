"""What ends a search: the winner is verified, the front is timed, fewer steps are measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import optuna

from tuner.dashboard.pages import StudyPages
from tuner.measure.evaluation import Evaluation
from tuner.measure.fewer_steps import FewerSteps
from tuner.measure.measurement import Measurement
from tuner.measure.paired_timing import PairedTimings
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.observer import Observer, Observers
from tuner.search.runner.progress import is_done
from tuner.search.runner.reference import measure_reference
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.time_front import time_front
from tuner.search.runner.verify import verify
from tuner.setting import Setting
from tuner.spec import Aim, StudySpec
from tuner.storage.database import Storage
from tuner.study.results import Result


@dataclass(frozen=True, kw_only=True)
class StudyEnding:
    """A study whose trials have been run, and what its figures still need.

    Each part is stored at once and passed over where it is stored already, so that a run that
    waited for another one (`tuner.search.runner.alone`) measures nothing again.
    """

    spec: StudySpec
    aim: Aim
    trials: int | None  # that the study is to have
    goal: Goal
    study: optuna.Study
    storage: Storage
    evaluation: Evaluation
    verification: Evaluation  # on the prompts for verifying, with other noise
    observer: Observer
    pages: StudyPages
    store_cost: Callable[[], None]
    _failed: set[Setting] = field(default_factory=set)  # whose verification failed in this run

    def end(self, deadline: Deadline) -> bool:
        """Verify the winner, time the front and measure fewer steps.

        Returns False where the search is to go on: no winner holds, and it has not had its trials.
        """
        winner = self._verify(deadline)
        if not self.goal.has_target and self._time_front(deadline):
            winner = self._verify(deadline)  # which may be another one now
        finished = is_done(self.study, self.trials) or deadline.passed
        if winner is None and not finished:
            self.observer.notice("no setting holds so far: the search goes on")
            return False
        self._measure_reference(deadline)
        return True

    def _verify(self, deadline: Deadline) -> Result | None:
        """The fastest result that holds on other prompts, verified where it was not."""
        with Interruptible(self.observer.interrupted) as interruptible:
            winner = verify(
                self.study,
                self.goal,
                lambda result, rule: self._measure_again(result.setting, rule, interruptible),
                Observers([self.observer, self.pages]).verified,
                self.spec.num_samples,
                self.verification.most_prompts,
                failed=self._failed,
                deadline=deadline,
                notice=self.observer.notice,
            )
        self.store_cost()
        return winner

    def _measure_again(
        self, setting: Setting, rule: StoppingRule, interruptible: Interruptible
    ) -> Iterator[Measurement]:
        """Measure a setting on the prompts for verifying; it is timed once its verdict is settled.

        Most of the pairs are then batches that its verdict needed in any case.
        """
        self.observer.verification_began(setting)
        measurements = self.verification.measure(setting, self.storage, settled=rule.settled)
        for measured in measurements:
            self.observer.verification_went_on(setting, measured)
            yield measured
            interruptible.check()

    def _time_front(self, deadline: Deadline) -> bool:
        """Time settings of the front whose speedups were predicted; whether there were any."""
        timed = time_front(
            self.study,
            self.goal,
            self._time,
            deadline,
            self.observer.notice,
            self.aim,
        )
        return timed > 0

    def _time(self, setting: Setting) -> PairedTimings:
        self.observer.timing_began(setting)
        return self.evaluation.time(setting, self.storage)

    def _measure_reference(self, deadline: Deadline) -> None:
        """Measure the plain pipeline with fewer steps, unless its call lists its steps."""
        if self.spec.sweep or not self.spec.reference or self.evaluation.call.lists_steps:
            return
        measure_reference(
            self.study,
            self.goal,
            self.evaluation.steps,
            self.spec.num_samples,
            lambda steps, predicted: self.evaluation.measure(
                FewerSteps(steps=steps), self.storage, predicted=predicted, few_pairs=True
            ),
            deadline,
            self.observer.notice,
        )
