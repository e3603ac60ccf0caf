"""The loop: ask the sampler, measure, record; a crash loses at most the trial in flight."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import BadPictureError, TrialError, UsageError, in_words
from tuner.limits import Limits
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner import queue
from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.resolve import settle
from tuner.search.runner.stopping import Answer, StoppingRule, spend
from tuner.search.runner.trial import attempt
from tuner.search.runner.upkeep import Upkeep
from tuner.search.space import Space
from tuner.search.sweep.sweep import Ending, Exhaustive
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.storage.queries import ENDED, begun, count, count_with, finished, waiting
from tuner.storage.retries import CUT_OFF, QUEUED, RESOLVES, next_try
from tuner.storage.worker import WORKER
from tuner.study import record
from tuner.study.baseline import Baseline, attributes
from tuner.study.record import Result


class Measure(Protocol):
    """The measuring half, as this half sees it."""

    def __call__(self, setting: Setting, trial: int) -> Iterator[Any]:
        """Yield a `Measurement` after each block of prompts."""


class Observer:
    """What a progress display is told; this one shows nothing."""

    def advanced(self, done: int, of: int) -> None:
        """How far the study is: in trials, or in the points of a replay."""

    def trial_began(self, number: int, setting: Setting) -> None:
        """A setting was chosen."""

    def trial_went_on(self, number: int, measured: Any) -> None:
        """A block of prompts was evaluated."""

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """A trial was recorded."""

    def notice(self, line: str) -> None:
        """Something that people should know; one line."""

    def verified(self, result: Result) -> None:
        """A candidate was measured again, on prompts that the search never saw."""


def search(
    *,
    study: optuna.Study,
    storage: Storage,
    space: Space,
    goal: Goal,
    measure: Measure,
    canonical: Callable[[Setting], Setting],
    trials: int | None,
    samples: int | None = None,
    most: int | None = None,
    races: bool = False,
    at_once: bool = False,
    timeout: float | None = None,
    first: Sequence[Setting] = (),
    watch: Observer | None = None,
) -> None:
    """Run trials until the study has `trials` finished ones, the goal is met or time is up.

    A trial is measured on `samples` prompts; with `races` it is stopped before, when it is certain
    to miss a limit or to be behind another one, and is PRUNED then. At the end, where there is no
    target, verdicts of the front that are open are settled on up to `most` prompts; with `at_once`
    a trial resolves its own while it runs. After `timeout` seconds no trial is begun.

    `canonical` gives one setting for all that are the same computation: it is measured once, and
    a trial that comes to it again takes over the numbers.

    A new study begins with the settings `first`, or with the papers' where there are none.

    Running it again continues: a trial whose process died is failed and tried again, and so is one
    that was interrupted; neither is one of the `trials`.

    It ends before where the sampler says that there is nothing left. With a sweep `trials` may be
    None; each of its points is measured, and with the same effort.
    """
    watch = watch or Observer()
    deadline = Deadline.after(timeout)
    upkeep = Upkeep(study, storage.liveness, watch.notice)
    upkeep.bury()
    limits = goal.limits
    about = attributes(study)
    storage.judge_again(
        study,
        limits.as_dict(),
        lambda number, kept: record.constraints(number, kept, limits, about),
    )
    record.judge_verified(study, limits)  # an older version left the first verdict there
    sweep = isinstance(study.sampler, Exhaustive)
    if isinstance(study.sampler, Exhaustive):
        study.sampler.begin(study)
    elif not begun(study):
        queue.enqueue(study, space, first or space.known_good())
    if goal.has_target and goal.candidate(record.results(study)):
        return

    def effort(setting: Setting, resolves: bool) -> StoppingRule:
        if sweep:
            return StoppingRule(limits=limits, samples=samples, alike=True)
        found = goal.admitted(record.results(study))
        before = [one.prompts for one in found if one.setting == setting]
        return StoppingRule(
            limits=limits,
            # What resolves a verdict has more prompts than what left it open.
            samples=max(before) + 1 if resolves else samples,
            # What was fast elsewhere may be slow here.
            rivals=[one for one in found if one.setting != setting and one.today],
            races=races and not resolves,
            setting=setting,
            tried=finished(study) + 1,
            resolves=resolves or at_once,
        )

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        return _run_trial(
            trial,
            study,
            lambda t: canonical(space.suggest(t)),
            (lambda setting: None) if sweep else partial(_measured_before, study, goal),
            goal,
            pace,
            effort,
            watch,
        )

    def pace(setting: Setting, trial: int) -> Iterator[Any]:
        for measured in measure(setting, trial):
            yield measured
            interruptible.check()
            storage.optuna.check()

    def run(trial: optuna.Trial) -> FrozenTrial | None:
        lost = partial(_lost, watch)
        return attempt(study, trial, objective, lost)

    def look_through() -> None:
        if not sweep:
            queue.look_through(study, space, is_measured)

    def is_measured(setting: Setting) -> bool:
        return _measured_before(study, goal, canonical(setting)) is not None

    met = False
    with Interruptible() as interruptible, storage.optuna.beating():
        while True:
            upkeep.bury()
            look_through()
            if is_done(study, trials, watch) or deadline.passed:
                break
            if _is_left_to_others(study):
                upkeep.wait()
                interruptible.check()
                continue
            ended = run(study.ask())
            interruptible.check()
            if ended is None or ended.state != TrialState.COMPLETE:
                continue
            found = record.result(study, ended.number, ended.user_attrs)
            if goal.has_target and goal.met_by(found):
                met = True
                break
        if not met and _is_left_to_others(study):
            upkeep.leave()
        if not sweep and _has_ended(study):
            watch.notice("every setting was tried")
        if most is not None and not (sweep or goal.has_target) and is_done(study, trials):
            for number, _ in enumerate(settle(study, space, goal, most, run)):
                if deadline.passed:
                    break
                if number == 0:
                    watch.notice("open verdicts of the front take more prompts")
                interruptible.check()


def is_done(study: optuna.Study, trials: int | None, watch: Observer | None = None) -> bool:
    """Whether a study has `trials` finished ones, or its sampler has nothing left to run.

    Those that were cut off and queued again count for nothing.
    """
    watch = watch or Observer()
    ended = finished(study) - count_with(study, CUT_OFF, TrialState.FAIL)
    # A replay resolves nothing, and must not look through its trials after each.
    if not isinstance(study.sampler, Exhaustive):
        ended -= count_with(study, RESOLVES, *ENDED)
    if trials is not None:
        watch.advanced(ended, trials)
    elif isinstance(study.sampler, Exhaustive):
        reach = study.sampler.reach(study)
        watch.advanced(reach.passed, reach.points)
    return (trials is not None and ended >= trials) or _has_ended(study)


def _has_ended(study: optuna.Study) -> bool:
    """Whether there is nothing to begin, and nothing at work that may still be lost."""
    return count(study, TrialState.RUNNING) == 0 and _begins_nothing(study)


def _is_left_to_others(study: optuna.Study) -> bool:
    """Whether all that is missing is at work elsewhere; asked between two trials of this run."""
    return count(study, TrialState.RUNNING) > 0 and _begins_nothing(study)


def _begins_nothing(study: optuna.Study) -> bool:
    """Whether the sampler has nothing left to name, and nothing waits for another try."""
    ended = isinstance(study.sampler, Ending) and study.sampler.has_ended(study)
    return ended and waiting(study) == 0


def _lost(watch: Observer, number: int, reason: str) -> None:
    watch.trial_ended(number, "FAIL", None, reason)


def _run_trial(
    trial: optuna.Trial,
    study: optuna.Study,
    suggest: Callable[[optuna.Trial], Setting],
    measured_before: Callable[[Setting], FrozenTrial | None],
    goal: Goal,
    measure: Measure,
    effort: Callable[[Setting, bool], StoppingRule],
    watch: Observer,
) -> tuple[float, float]:
    setting = suggest(trial)
    trial.set_user_attr("setting", setting.params)
    trial.set_user_attr("combination", setting.combination)
    watch.trial_began(trial.number, setting)
    try:
        resolves = RESOLVES in trial.user_attrs
        earlier = None if resolves else measured_before(setting)
        if earlier is not None:
            _copy(trial, earlier, goal.limits)
            if earlier.state == TrialState.PRUNED:
                raise optuna.TrialPruned
        else:
            asked = effort(setting, resolves)
            measured, answer = spend(
                measure(setting, trial.number),
                asked,
                lambda block: watch.trial_went_on(trial.number, block),
            )
            record.write(trial, measured, goal.limits)
            rival = asked.ahead(measured) if answer is Answer.BEATEN else None
            if rival is not None:
                trial.set_user_attr(record.BEHIND, rival.trial)
            if answer.stops:
                raise optuna.TrialPruned
    except optuna.TrialPruned:
        kept = trial.user_attrs
        loss = kept["score_loss"]
        behind = kept.get(record.BEHIND)
        why = (
            "to miss a limit"
            if behind is None
            else f"to be slower and lose more than trial {behind}"
        )
        reason = f"certain {why} after {kept['prompts']} prompts, loss {loss:.1%} so far"
        trial.set_user_attr("reason", reason)
        watch.trial_ended(trial.number, "PRUNED", None, reason)
        raise
    except (UsageError, UpdateFinishedTrialError):
        raise
    except KeyboardInterrupt:
        trial.set_user_attr("reason", "interrupted")
        again = next_try(_frozen(trial), counts=False)
        if again is not None:
            trial.set_user_attr(CUT_OFF, True)
            study.add_trial(again)
        raise
    except Exception as error:
        reason = in_words(error)
        trial.set_user_attr("reason", reason)
        if not isinstance(error, TrialError):
            trial.set_user_attr("traceback", traceback.format_exc()[-4000:])
        again = None if isinstance(error, BadPictureError) else next_try(_frozen(trial))
        if again is not None:
            study.add_trial(again)
        watch.trial_ended(trial.number, "FAIL", None, reason)
        raise TrialError(reason) from error
    kept = trial.user_attrs
    values = (float(kept["speedup"]), float(kept["score_loss"]))
    state = "COMPLETE" if earlier is None else f"same as trial {earlier.number}"
    watch.trial_ended(trial.number, state, record.result(study, trial.number, kept), "")
    return values


def _frozen(trial: optuna.Trial) -> FrozenTrial:
    return trial.storage.get_trial(trial._trial_id)


def _measured_before(study: optuna.Study, goal: Goal, setting: Setting) -> FrozenTrial | None:
    """A trial of the same setting whose numbers can be used again.

    Rather one that was timed under today's key than another, then the one with the most prompts.
    With a target, what was timed under another key is used only where its loss decides.
    """
    baseline = Baseline.of(attributes(study))
    feasible = cache(lambda: record.feasible_settings(study, goal.limits))
    found = [
        one
        for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        if one.user_attrs.get("setting") == setting.params
        and record.still_holds(one, study, baseline, feasible, timed_today=goal.has_target)
    ]

    def rank(one: FrozenTrial) -> tuple[bool, int]:
        return baseline.is_of(one.user_attrs), int(one.user_attrs["prompts"])

    return max(found, key=rank, default=None)


def _copy(trial: optuna.Trial, earlier: FrozenTrial, limits: Limits) -> None:
    for name, value in earlier.user_attrs.items():
        if name not in (WORKER, RESOLVES, QUEUED, "tries"):
            trial.set_user_attr(name, value)
    trial.set_user_attr(record.SAME_AS, earlier.number)
    record.set_constraints(trial, limits)
