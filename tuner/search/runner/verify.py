"""Measuring the winners again, on prompts that the search never saw.

The best of many noisy results is, on average, not as good as it looks. So before a result is
handed over it is measured once more; one that does not hold is passed over for the next.

So is one whose speed was measured on another machine or with other versions, whatever it was then:
what is handed over, and what a target is decided on, was timed here and now.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import optuna

from tuner.errors import BadPictureError, UsageError, in_words
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.stopping import StoppingRule, spend
from tuner.setting import Setting
from tuner.study import record
from tuner.study.record import Failure, Result

MOVED = (
    "the machine or its versions are others than before: stored results that may be the answer "
    "are measured again here, fastest first"
)
TRIES = 2  # of a second measurement that breaks off


def verify(
    study: optuna.Study,
    goal: Goal,
    measure: Callable[[Result], Iterator[Any]],
    on_verified: Callable[[Result], None],
    samples: int | None = None,
    *,
    failed: set[Setting] | None = None,
    deadline: Deadline | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Result | None:
    """The fastest result that meets the goal and still does on new prompts; None where none does.

    Those are `samples` prompts, or more where the verdict needs them.

    What is measured is kept with the study, so that it is not measured twice on one machine. One
    whose second measurement fails does not hold; the reason is kept. A new run tries it again,
    unless its pictures were broken: `failed` are the settings that this run has tried in vain.

    After the `deadline` no further one is begun; the first one is, or nothing would be handed over.
    """
    failed = set() if failed is None else failed
    begun, told = 0, False
    while True:
        candidate = goal.candidate([_tried_anew(one, failed) for one in record.results(study)])
        if candidate is None or candidate.verified_today:
            return candidate
        if begun and deadline is not None and deadline.passed:
            return None
        if not candidate.today and not told:
            told = True
            notice(MOVED)
        begun += 1
        effort = StoppingRule(limits=goal.limits, samples=samples, resolves=True)
        again = measure_again(partial(measure, candidate), effort)
        if isinstance(again, Failure):
            failed.add(candidate.setting)
        record.keep_verification(study, candidate.trial, again, goal.limits)
        on_verified(next(r for r in record.results(study) if r.trial == candidate.trial))


def _tried_anew(result: Result, failed: Container[Setting]) -> Result:
    """A result whose second measurement broke off in an earlier run, as if there had been none."""
    if result.failed_again is None or result.failed_for_good or result.setting in failed:
        return result
    return replace(result, failed_again=None)


def measure_again(measure: Callable[[], Iterator[Any]], effort: StoppingRule) -> Any:
    """The second measurement; a `Failure` where it breaks off."""
    for tries in count(1):
        try:
            return spend(measure(), effort)[0]
        except UsageError:
            raise
        except Exception as error:
            broken = isinstance(error, BadPictureError)
            if broken or tries == TRIES:
                return Failure(reason=in_words(error), for_good=broken)
