"""Running a study: ask the sampler for a setting, measure and record it, until the study is done.

Everything is read from and written to the study's trial log (`tuner.storage.log`), so that a run
continues where an earlier one ended, several processes can search one study, and the simulations of
`bench.search` on truth tables run the same code in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.measure.account import Ledger
from tuner.search.deadline import Deadline
from tuner.search.frontier.second_look import most_prompts
from tuner.search.goal import Goal
from tuner.search.runner import queue
from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.observer import Observer
from tuner.search.runner.other_runs import OtherRuns, Seldom
from tuner.search.runner.progress import has_ended, is_done, is_left_to_others
from tuner.search.runner.resolve import resolve
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.trial import Measure, TrialRunner, interruptible_by
from tuner.search.space import Space
from tuner.search.sweep.sweep import Ending, Exhaustive
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.storage.log import log_of
from tuner.storage.retries import CUT_OFF, RESOLVES
from tuner.storage.trial_log import TrialLog
from tuner.study.constraints import update_for_limits, update_verified
from tuner.study.results import Result, read_result, read_results
from tuner.study.reuse import measured_before
from tuner.study.schema import SETTING


class _Ending(Enum):
    """Why no further trial is begun."""

    DONE = "done"  # enough trials, or the deadline has passed
    MET = "met"  # a result meets the target
    LEFT = "left"  # other runs measure what is missing


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study, and how its trials are run.

    A new study begins with the settings `first`, or with those of the papers where `first` is
    None. With `stops_early` a trial is stopped once it is certain to miss a limit or to be behind
    another setting in speed and quality; it is PRUNED then. With the `aim` front an inconclusive
    trial takes more prompts while it runs; with `combinations` rivals are of one combination.
    `canonical` returns one setting for all that are the same computation: it is measured once, and
    further trials copy the figures.
    """

    study: optuna.Study
    space: Space
    goal: Goal
    measure: Measure
    canonical: Callable[[Setting], Setting]
    trials: int | None  # finished trials that the study is to have; None: every point of a sweep
    samples: int | None = None  # prompts of a trial; all that are offered when None
    max_samples: int | None = None  # of an inconclusive setting of the front; None: resolve none
    stops_early: bool = False
    aim: Aim = "max"
    first: Sequence[Setting] | None = None
    deadline: Deadline = field(default_factory=lambda: Deadline(None))  # begin no trial after it
    observer: Observer = field(default_factory=Observer)
    ledger: Ledger = field(default_factory=Ledger)  # see `TrialRunner`
    waits: bool = True  # for trials of other runs, where nothing else is left to begin

    def run(self) -> bool:
        """Run trials until the study has enough of them, the goal is reached or time is up.

        Returns False where other runs measure all that is missing, and this one does not wait.

        Running it again continues. A trial whose process died is marked as failed and queued again,
        and so is one that was interrupted; neither counts towards `trials`. A sampler may end the
        search before that, when it has no setting left. At the end inconclusive settings of the
        front are measured with up to `max_samples` prompts. With a target that is done during the
        search, to settings that may have missed a limit by bad luck.
        """
        self._other_runs.fail_dead()
        update_for_limits(self.study, self.goal.limits)
        update_verified(self.study, self.goal.limits)  # old versions ignored verifications
        self._begin()
        if self._target_is_met():
            return True
        with Interruptible(self.observer.interrupted) as interruptible, self._log.heartbeats():
            trials = self._trial_runner(interruptible)
            ending = self._run_trials(trials, interruptible)
            if ending is _Ending.LEFT:
                return False
            if ending is not _Ending.MET and is_left_to_others(self.study):
                self._other_runs.report_unfinished()
            sampler = self.study.sampler
            if not self._sweeps and isinstance(sampler, Ending) and has_ended(self.study):
                self.observer.notice(f"the search has ended: {sampler.why_ended()}")
            if self.max_samples is not None and not self._sweeps and not self.goal.has_target:
                self._resolve(trials, interruptible, self.max_samples)
        return True

    def _begin(self) -> None:
        """Prepare the sampler of a sweep; queue the first settings of a new study."""
        if isinstance(self.study.sampler, Exhaustive):
            self.study.sampler.begin(self.study)
        elif not self._log.begun():
            first = self.space.known_good() if self.first is None else self.first
            queue.queue_first(self.study, self.space, first)

    def _run_trials(self, trials: TrialRunner, interruptible: Interruptible) -> "_Ending":
        """Run trials until there is a reason to end."""
        while True:
            self._other_runs.fail_dead()
            with self._log.one_reading():
                self._sort_queue()
                if is_done(self.study, self.trials, self.observer) or self.deadline.passed:
                    return _Ending.DONE
                if self._others_met_target.is_true():
                    return _Ending.MET
                trial = None
                if not is_left_to_others(self.study):
                    trial = self._second_look() or self._log.ask(self.trials)
            if trial is None:
                if not self.waits:
                    return _Ending.LEFT
                self._other_runs.wait()
                interruptible.check()
                continue
            ended = trials.run(trial)
            interruptible.check()
            if ended is not None and _is_measured_elsewhere(ended):
                self._other_runs.pause()
            if self._meets_target(ended):
                return _Ending.MET

    def _second_look(self) -> optuna.Trial | None:
        """A trial of a setting that missed a limit, where the sampler wants more prompts of it."""
        sampler, log = self.study.sampler, self._log
        if self.max_samples is None or not isinstance(sampler, Ending) or log.waiting():
            return None
        again = sampler.second_look(self.study)
        if again is None:
            return None
        setting, earlier = again
        self.observer.resolve_began(read_result(self.study, earlier, log.trial(earlier).user_attrs))
        self.observer.notice(
            f"measuring the setting of trial {earlier} again, with more prompts: it may have had "
            "bad luck, and no untried setting is as likely to reach the target"
        )
        return log.begin(self.space.flat(setting), {RESOLVES: earlier})

    def _target_is_met(self) -> bool:
        """Whether a result of this or another run meets the target, or may when timed again."""
        return self.goal.has_target and self.goal.candidate(read_results(self.study)) is not None

    def _meets_target(self, ended: FrozenTrial | None) -> bool:
        if ended is None or ended.state != TrialState.COMPLETE or not self.goal.has_target:
            return False
        return self.goal.met_by(read_result(self.study, ended.number, ended.user_attrs))

    def _resolve(self, trials: TrialRunner, interruptible: Interruptible, max_samples: int) -> None:
        """Measure inconclusive settings of the front with up to `max_samples` prompts."""
        if not is_done(self.study, self.trials):
            return
        results = resolve(
            self.study,
            self.space,
            self.goal,
            self.samples or max_samples,
            max_samples,
            trials.run,
            self.aim,
            self.observer,
        )
        with closing(results):  # which ends its claim, also where an error is kept by a notebook
            for number, result in enumerate(results):
                if self.deadline.passed:
                    break
                if number == 0:
                    self.observer.notice(
                        "re-measuring inconclusive settings of the front with more prompts"
                    )
                self.observer.resolve_began(result)
                interruptible.check()

    def _trial_runner(self, interruptible: Interruptible) -> TrialRunner:
        def measure(setting: Setting, trial: int) -> Iterator[Any]:
            return interruptible_by(interruptible, self.study, self.measure(setting, trial))

        return TrialRunner(
            study=self.study,
            limits=self.goal.limits,
            observer=self.observer,
            suggest=lambda trial: self.canonical(self.space.suggest(trial)),
            measured_before=self._measured_before,
            measures_all=self._sweeps,
            rule=self._rule,
            measure=measure,
            ledger=self.ledger,
        )

    def _rule(self, setting: Setting, resolves: bool) -> StoppingRule:
        """When a trial of the setting ends; with `resolves`, one that resolves it."""
        limits = self.goal.limits
        if self._sweeps:
            return StoppingRule(limits=limits, samples=self.samples, treats_all_alike=True)
        results = self.goal.admitted(read_results(self.study))
        before = [result.prompts for result in results if result.setting == setting]
        return StoppingRule(
            limits=limits,
            # A trial that resolves a setting needs more prompts than its earlier trials had.
            samples=max([self.samples or 0, *before]) + 1 if resolves else self.samples,
            # A result that was fast on another machine may be slow on this one.
            rivals=[rival for rival in results if self._is_rival(rival, setting)],
            stops_early=self.stops_early and not resolves,
            setting=setting,
            trials_so_far=self._log.finished() + 1,
            most=self._most_resolved if resolves else self.max_samples,
            is_chosen=resolves,
            resolves=resolves or (self.stops_early and self.aim == "front"),
        )

    @property
    def _most_resolved(self) -> int | None:
        """Prompts of a resolving trial at most; with a target it is a second look."""
        if self.goal.has_target and self.samples is not None:
            return most_prompts(self.samples, self.max_samples)
        return self.max_samples

    def _is_rival(self, result: Result, setting: Setting) -> bool:
        same = result.setting.combination == setting.combination
        return result.setting != setting and result.current and (same or self.aim != "combinations")

    def _measured_before(self, setting: Setting) -> FrozenTrial | None:
        if self._sweeps:
            return None
        goal = self.goal
        return measured_before(self.study, setting, goal.limits, timed_now=goal.has_target)

    def _sort_queue(self) -> None:
        if not self._sweeps:
            queue.leave_unwanted_to_others(self.study, self.space, self._needs_no_trial)

    def _needs_no_trial(self, setting: Setting) -> bool:
        """Whether a setting was measured, or is being measured at this moment."""
        setting = self.canonical(setting)
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        being_measured = (trial.user_attrs.get(SETTING) for trial in running)
        return setting.params in being_measured or self._measured_before(setting) is not None

    @property
    def _log(self) -> TrialLog:
        return log_of(self.study)

    @property
    def _sweeps(self) -> bool:
        return isinstance(self.study.sampler, Exhaustive)

    @cached_property
    def _others_met_target(self) -> Seldom:
        return Seldom(self._target_is_met)

    @cached_property
    def _other_runs(self) -> OtherRuns:
        return OtherRuns(self.study, self.observer)


def _is_measured_elsewhere(ended: FrozenTrial) -> bool:
    """Whether a trial ended because another run measures its setting, which it did not get."""
    return CUT_OFF in ended.user_attrs and SETTING not in ended.user_attrs
