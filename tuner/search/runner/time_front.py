"""Timing the settings of the front in pairs, once the search has ended.

During a search a speedup comes from the latency model, which a pair of batches confirms, or from a
few pairs. The settings that a user chooses from must be known better: where the front is the aim,
all of its settings are timed until their speedups are known to 2%. Otherwise the answer is the
winner, which its verification times, and of the others only those are timed whose speedups are not
known to 5%.
"""

from collections.abc import Callable

import optuna

from tuner.errors import TrialError, UsageError, in_words
from tuner.measure.paired_timing import IMPRECISE, PairedTimings
from tuner.measure.statistics import half_width
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.spec import Aim
from tuner.study.offered import offered
from tuner.study.recording import store_timing
from tuner.study.results import Result, read_results


def time_front(
    study: optuna.Study,
    goal: Goal,
    time: Callable[[Setting], PairedTimings],
    deadline: Deadline,
    notice: Callable[[str], None],
    aim: Aim,
) -> int:
    """Time one setting of the front after the other, fastest first; returns how many there were.

    A setting that turns out slower may give its place to another one, which is timed then too. One
    that fails keeps the speedup that it has. With the aim `combinations` the best setting of each
    combination of accelerators is timed too.
    """
    tried: set[int] = set()
    known = 0.0 if aim == "front" else IMPRECISE
    while not deadline.passed:
        results = goal.admitted(read_results(study))
        front = offered(results, goal.limits, by_combination=aim == "combinations")
        wanted = (r for r in front if r.trial not in tried and is_to_be_timed(r, goal, known))
        result = next(wanted, None)
        if result is None:
            break
        tried.add(result.trial)
        try:
            store_timing(study, result.trial, time(result.setting))
        except UsageError:
            raise
        except TrialError as error:
            notice(f"{result.setting} was not timed: {in_words(error)}")
    return len(tried)


def is_to_be_timed(result: Result, goal: Goal, known: float) -> bool:
    """Whether a user may choose a result of the front that was timed in too few pairs.

    Its pairs are enough where half of its speedup's interval is at most `known`, a share of it.
    """
    faster = bool(result.setting.accelerators) and result.speedup.value > 1
    return (
        faster
        and result.feasible(goal.limits)
        and result.current
        and result.speedup_from is not None
        and half_width(result.speedup) > known
    )
