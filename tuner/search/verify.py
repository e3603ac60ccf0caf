"""Measuring the winners again, on prompts that the search never saw.

The best of many noisy results is, on average, not as good as it looks. So before a result is
handed over it is measured once more; one that does not hold is passed over for the next.
"""

from collections.abc import Callable, Iterator
from typing import Any

import optuna

from tuner.search import record
from tuner.search.effort import Effort, spend
from tuner.search.goal import Goal
from tuner.search.record import Result

AT_MOST = 5  # candidates that are measured again in one go


def verify(
    study: optuna.Study,
    goal: Goal,
    measure: Callable[[Result], Iterator[Any]],
    on_verified: Callable[[Result], None],
    samples: int | None = None,
) -> Result | None:
    """The fastest result that meets the goal and still does on new prompts; None where none does.

    Those are `samples` prompts, or more where the verdict needs them.

    What is measured is kept with the study, so that it is not measured twice.
    """
    for _ in range(AT_MOST):
        candidate = goal.reached(record.results(study))
        if candidate is None or candidate.verified is not None:
            return candidate
        effort = Effort(limits=goal.limits, samples=samples, settles=True)
        last, _ = spend(measure(candidate), effort)
        record.keep_verification(study, candidate.trial, last)
        on_verified(next(r for r in record.results(study) if r.trial == candidate.trial))
    return None
