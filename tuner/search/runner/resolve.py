"""Resolving inconclusive settings of the front with more prompts, once the search has ended.

During a search every trial has the same number of prompts: an inconclusive trial trains the
sampler's models just as well, and most inconclusive settings are not on the front in the end. After
the search, settings of the front that meet the limits, but not for certain, get a further trial
that goes on as long as more prompts may change the verdict. Where the fastest setting is the aim,
or that of each combination, only those get one that are faster than all whose verdict is known.
"""

from collections.abc import Callable, Generator, Sequence

import optuna
from optuna.trial import TrialState

from tuner.limits import Limits
from tuner.search.goal import Goal
from tuner.search.runner.alone import RESOLVING, alone
from tuner.search.runner.observer import Observer
from tuner.search.runner.stopping import StoppingRule
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.storage.log import log_of
from tuner.storage.retries import RESOLVES
from tuner.study.best import is_faster, pareto_front
from tuner.study.offered import group_by_combination
from tuner.study.results import Result, read_results


def inconclusive(
    results: Sequence[Result],
    limits: Limits,
    samples: int,
    max_samples: int,
    tried: int,
    aim: Aim,
) -> list[Result]:
    """Results of the front, fastest first, that meet the limits but not for certain.

    With the aim `combinations` each combination of accelerators has a front of its own. Left out
    are those that were verified, and those of more than `samples` prompts whose verdict would stay
    with up to `max_samples`. `tried` is the number of trials of the study: the fastest of many must
    be more certain. With the aim `max` they are only those that are faster (`is_faster`) than the
    first one whose verdict is known; with `combinations` likewise those of each combination, also
    where they are slower than the baseline.
    """
    groups = group_by_combination(results).values() if aim == "combinations" else [results]
    # With the aim `front` a trial takes more prompts at once.
    least = min(max_samples, samples if aim == "front" else samples + 1)
    found: list[Result] = []
    for group in groups:
        unknown: list[Result] = []
        front = pareto_front(group, limits)[::-1]
        on_front = {result.trial for result in front}
        ranked = front
        if aim != "front":  # what is known of a result off the front counts too
            ranked = sorted(group, key=lambda result: -result.speedup.value)
        for result in ranked:
            is_fast = aim == "combinations" or result.speedup.value > 1
            if not (result.setting.accelerators and result.feasible(limits) and is_fast):
                continue
            rivals = [other for other in results if other.setting != result.setting]
            rule = StoppingRule(limits=limits, rivals=rivals, trials_so_far=tried, most=max_samples)
            is_resolved = result.prompts >= least and rule.decided(result)
            if not (is_resolved or result.verified_now or rule.surely_kept(result)):
                unknown += [result] if result.trial in on_front else []
            elif aim != "front":
                unknown = [other for other in unknown if is_faster(other, result)]
                break
        found += unknown
    return sorted(found, key=lambda result: -result.speedup.value)


def resolve(
    study: optuna.Study,
    space: Space,
    goal: Goal,
    samples: int,
    max_samples: int,
    run: Callable[[optuna.Trial], object],
    aim: Aim,
    observer: Observer,
) -> Generator[Result, None, None]:
    """Resolve one inconclusive result after the other; yields each before `run` gets its trial.

    A trial's figures may bring another setting to the front. No setting is resolved twice in a run,
    nor while another process resolves it.
    """
    resolved: set[Setting] = set()
    log = log_of(study)
    tried = log.finished()
    while True:
        # So that no two runs choose the same setting.
        with alone(study, RESOLVING, observer=observer):
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            being_resolved = {trial.user_attrs.get(RESOLVES) for trial in running}
            # A setting that was fast on another machine displaces nothing from this one's front.
            results = [result for result in goal.admitted(read_results(study)) if result.current]
            for result in inconclusive(results, goal.limits, samples, max_samples, tried, aim):
                unresolved = result.setting not in resolved and result.trial not in being_resolved
                if unresolved and space.holds(result.setting):
                    break
            else:
                return
            resolved.add(result.setting)
            yield result
            # Begun at once, ahead of the queued trials.
            trial = log.begin(space.flat(result.setting), {RESOLVES: result.trial})
        run(trial)
