"""Measuring the winners again, on prompts that the search never saw.

The best of many noisy results is, on average, not as good as it looks. So before a result is
handed over it is measured once more; one that does not hold is passed over for the next.

So is one whose speed was measured on another machine or with other versions, whatever it was then:
what is handed over, and what a target is decided on, was timed here and now.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import optuna

from tuner.errors import BadPictureError, UsageError, in_words
from tuner.search import record
from tuner.search.effort import Effort, spend
from tuner.search.goal import Goal
from tuner.search.record import Result

TRIES = 2  # of a second measurement that breaks off


def verify(
    study: optuna.Study,
    goal: Goal,
    measure: Callable[[Result], Iterator[Any]],
    on_verified: Callable[[Result], None],
    samples: int | None = None,
) -> Result | None:
    """The fastest result that meets the goal and still does on new prompts; None where none does.

    Those are `samples` prompts, or more where the verdict needs them.

    What is measured is kept with the study, so that it is not measured twice on one machine. One
    whose second measurement fails does not hold; the reason is kept.
    """
    seen: set[int] = set()
    while True:
        candidate = goal.candidate(record.results(study))
        if candidate is None or candidate.verified_today:
            return candidate
        if candidate.trial in seen:  # another machine measured it a moment ago, for the same study
            return None
        seen.add(candidate.trial)
        effort = Effort(limits=goal.limits, samples=samples, settles=True)
        again = second_look(partial(measure, candidate), effort)
        record.keep_verification(study, candidate.trial, again, goal.limits)
        on_verified(next(r for r in record.results(study) if r.trial == candidate.trial))


def second_look(measure: Callable[[], Iterator[Any]], effort: Effort) -> Any:
    """The second measurement; the reason, in words, where it fails."""
    for tries in count(1):
        try:
            return spend(measure(), effort)[0]
        except UsageError:
            raise
        except Exception as error:
            if isinstance(error, BadPictureError) or tries == TRIES:
                return in_words(error)
