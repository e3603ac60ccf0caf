"""One run of a study: its baseline, its sampler, the search, and what ends it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler

from tuner.dashboard.pages import StudyPages
from tuner.measure.device import versions
from tuner.measure.evaluation import Evaluation
from tuner.measure.measurement import Measurement
from tuner.outcome import Outcome
from tuner.sampler_table import sampler_row
from tuner.search.deadline import Deadline
from tuner.search.frontier.earlier_timings import earlier_timings
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.goal import Goal
from tuner.search.runner.alone import BASELINE as BASELINE_WORK
from tuner.search.runner.alone import ENDING, STEPS, alone
from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.observer import Observer, Observers
from tuner.search.runner.progress import counted_trials, is_done
from tuner.search.runner.run import Search
from tuner.search.samplers import aim_of, sampler
from tuner.search.space import Space
from tuner.search.sweep.grid import FEW
from tuner.search.sweep.sweep import Points
from tuner.setting import Setting
from tuner.shared_run import SharedRun
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.study.baseline import BASELINE, attributes
from tuner.study.costs import read_costs
from tuner.study.identity import request
from tuner.study.measured_baseline import measure_baseline
from tuner.study.results import read_results
from tuner.study_costs import RunCosts
from tuner.study_ending import StudyEnding
from tuner.study_first_verification import FirstVerification
from tuner.study_notices import notices
from tuner.study_start import StudyStart


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """A study, and everything that one run of it needs."""

    spec: StudySpec
    evaluation: Evaluation
    verification: Evaluation  # on the prompts for verifying, with other noise
    space: Space
    storage: Storage
    study: optuna.Study
    observer: Observer
    pictures: Path | None  # folder of the pictures; None: none are kept
    answered: bool = False  # whether an earlier run has answered the same request
    shared: SharedRun = field(default_factory=SharedRun)
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])  # of this run, in the study

    def run(self) -> Outcome:
        """Search until the study has its trials, its goal is met or its time is up.

        What the run costs is stored with the study, also where an error ends it.
        """
        try:
            self._observers.study_began(self.study, self._spent_s())
            with self._costs.stored_regularly():
                outcome = self._run()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):  # maybe raised where nobody records it
                self.storage.patience.cut_short()
            with suppress(Exception):  # the first error says why the run has ended
                self._costs.store()
            raise
        self._costs.store()
        return outcome

    def _run(self) -> Outcome:
        self.study.set_user_attr("request", request(self.spec, self.evaluation.steps))
        self.study.set_user_attr("pipeline", type(self.evaluation.pipeline).__name__)
        self.study.set_user_attr("versions", versions())
        start = StudyStart.of(
            self.spec, self.evaluation, self.space, self.storage, self.study, self._goal
        )
        needs_sampler = self.spec.sweep is not None or not is_done(self.study, self._trials)
        source = start.source(self.spec, self.storage, self.study) if needs_sampler else None
        verifies_first = self._first.is_due(source)
        if verifies_first:
            self._first.begin()
        else:
            held = self._first.has_held()
            self._measure_baseline(self.verification if held else self.evaluation)
        if needs_sampler:
            start = start.warm(self.spec, self.storage, self.study, source, self._observers)
            self.study.sampler = self._sampler(start)
        self._print_notices()
        if verifies_first and not self._first.run(start):
            self._measure_baseline(self.evaluation)
        deadline = self.shared.deadline(self.study, self.spec.timeout)
        with self._pages.during_search():
            is_over = self._search_and_verify(start, deadline)
        return Outcome(
            study=self.study,
            goal=self._goal,
            results=read_results(self.study),
            timed_out=deadline.passed,
            is_over=is_over,
        )

    def _print_notices(self) -> None:
        for line in notices(
            self.spec,
            self.study,
            self.evaluation,
            self.verification,
            without_pictures=self._has_many_points and self.pictures is not None,
        ):
            self._observers.notice(line)

    def _spent_s(self) -> Callable[[], float]:
        """Seconds that the study has cost by now; of a sweep's many trials, those of this run."""
        earlier_s = 0.0 if self.spec.sweep is not None else read_costs(self.study).total.total_s
        return lambda: earlier_s + self.evaluation.ledger.wall_s

    def _measure_baseline(self, evaluation: Evaluation) -> None:
        """Measure the baseline of the search's prompts, or of those for verifying."""
        pages = self._pages if evaluation is self.evaluation else self._pages_of_verification
        with (
            alone(self.study, BASELINE_WORK, observer=self._observers),
            Interruptible(self._observers.interrupted) as interruptible,
            interruptible.taking_errors(),
        ):

            def on_batch(done: int, batches: int) -> None:
                self._observers.baseline_progress(done, batches)
                interruptible.check()

            measure_baseline(
                self.study,
                self.storage,
                evaluation,
                self._observers.notice,
                on_batch,
                pages.picture_arguments.get("on_baseline"),
                self.evaluation.baseline_parts,
            )
        pages.begin(evaluation.baseline(self.storage)[0].scores)  # as just stored
        self._observers.baseline_measured(attributes(self.study)[BASELINE])

    def _sampler(self, start: StudyStart) -> BaseSampler:
        """The sampler. One run at a time times steps for it, and those are not timed again."""
        with alone(self.study, STEPS, observer=self._observers):
            own = earlier_timings(self.study, self.study, self.storage, start.problem)
            timed = [*start.problem.timed_before, *own]
            problem = replace(start.problem, timed_before=timed)
            return sampler(self.spec.sampler, self.spec.seed, problem, log_of(self.study).begun())

    def _search_and_verify(self, start: StudyStart, deadline: Deadline) -> bool:
        """Search and verify the winner; while no winner holds, search on if there is more to find.

        Returns False where other runs do what is left, and this one does not wait for them.
        """
        search = Search(
            study=self.study,
            space=self.space,
            goal=self._goal,
            measure=self._measure,
            canonical=start.problem.canonical,
            trials=self._trials,
            samples=self.spec.num_samples,
            max_samples=None if self.spec.sweep else self.evaluation.most_prompts,
            stops_early=self._stops_early,
            aim=aim_of(self.spec),
            first=start.first,
            deadline=deadline,
            observer=Observers([self._observers, self._pages]),
            ledger=self.evaluation.ledger,
            waits=self.shared.waits,
        )
        while search.run():
            with alone(
                self.study, ENDING, waits=self.shared.waits, observer=self._observers
            ) as is_mine:
                if not is_mine:
                    return False
                if self._ending.end(deadline):
                    self._costs.store()  # before the study's note is written for the last time
                    return True
        return False

    def _measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        chosen, predicted = self.study.sampler, None
        if isinstance(chosen, FrontierSampler):
            predicted = chosen.prediction(self.study, setting)
        measurements = self.evaluation.measure(
            setting,
            self.storage,
            # A front compares settings with one another, so all of them get the same prompts.
            drawn=self._stops_early and self.spec.aim != "front",
            predicted=predicted,
            few_pairs=self._stops_early,  # what matters is timed when the search has ended
            **self._pages.picture_arguments,
        )
        return self._pages.watched(trial, measurements)

    @cached_property
    def _costs(self) -> RunCosts:
        return RunCosts(study=self.study, name=self.name, ledger=self.evaluation.ledger)

    @cached_property
    def _observers(self) -> Observers:
        return Observers([self.observer, self._costs])

    @cached_property
    def _first(self) -> FirstVerification:
        return FirstVerification(
            spec=self.spec,
            goal=self._goal,
            study=self.study,
            storage=self.storage,
            space=self.space,
            evaluation=self.evaluation,
            verification=self.verification,
            pages=self._pages_of_verification,
            observer=self._observers,
            measure_baseline=self._measure_baseline,
        )

    @cached_property
    def _ending(self) -> StudyEnding:
        return StudyEnding(
            spec=self.spec,
            aim=aim_of(self.spec),
            trials=self._trials,
            goal=self._goal,
            study=self.study,
            storage=self.storage,
            evaluation=self.evaluation,
            verification=self.verification,
            observer=self._observers,
            pages=self._pages,
            store_cost=self._costs.store,
        )

    @cached_property
    def _trials(self) -> int | None:
        """The trials that the study is to have: no more where too little was left to gain."""
        if self.answered and self.spec.min_gain is not None and not self._goal.has_target:
            return counted_trials(self.study)
        return self.spec.trials

    @cached_property
    def _goal(self) -> Goal:
        return Goal.of(self.spec)

    @property
    def _stops_early(self) -> bool:
        return sampler_row(self.spec.sampler).stops_early

    @property
    def _has_many_points(self) -> bool:
        return self.spec.sweep is not None and Points(self.space.offered()).count > FEW

    @cached_property
    def _pages(self) -> StudyPages:
        return self._pages_of(self.evaluation)

    @cached_property
    def _pages_of_verification(self) -> StudyPages:
        return self._pages_of(self.verification)

    def _pages_of(self, evaluation: Evaluation) -> StudyPages:
        return StudyPages.of_run(
            self.study,
            self._goal,
            self.storage,
            evaluation,
            root=None if self._has_many_points else self.pictures,
            every_trial=not self._has_many_points,
            warn=self._observers.notice,
        )
