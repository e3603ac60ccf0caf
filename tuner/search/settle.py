"""Open verdicts that matter take more prompts, once the search has ended.

During a search every trial has as many prompts: a verdict that stays open teaches the sampler as
much, and most of those that are open do not matter in the end. Afterwards each setting of the front
that is within the limits, though not for sure, has a trial of its own that goes on until it is.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import optuna

from tuner.search import record
from tuner.search.effort import Effort
from tuner.search.limits import Limits
from tuner.search.record import Result
from tuner.search.space import Space
from tuner.storage import SETTLES
from tuner.trials import finished


def unsettled(found: Sequence[Result], limits: Limits, most: int, tried: int) -> Iterator[Result]:
    """Results of the front whose verdict is open, fastest first, of fewer than `most` prompts.

    `tried` trials were made: the fastest of many must be surer than one.
    """
    for one in reversed(record.front(list(found), limits)):
        rivals = [other for other in found if other.setting != one.setting]
        effort = Effort(limits=limits, rivals=rivals, tried=tried)
        matters = one.feasible(limits) and one.speedup.value > 1
        if matters and one.prompts < most and not effort.surely_kept(one):
            yield one


def enqueue(study: optuna.Study, space: Space, limits: Limits, most: int, done: set[Any]) -> bool:
    """Queue a trial for the fastest open verdict that is not among those `done`; whether there is.

    What it finds may uncover another one of the front.
    """
    for one in unsettled(record.results(study), limits, most, finished(study)):
        if one.setting not in done and space.holds(one.setting):
            done.add(one.setting)
            study.enqueue_trial(space.flat(one.setting), user_attrs={SETTLES: one.trial})
            return True
    return False
