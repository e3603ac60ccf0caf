"""Verification: the winner is measured again, on prompts that the search never used.

The best of many noisy results is, on average, not as good as it looks. So before a result is
exported it is measured once more; if it does not hold, the next one is verified.

A result whose speed was measured on another machine or with other package versions is verified in
the same way: exports and targets use speedups under the current latency key only.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import optuna

from tuner.errors import BadPictureError, DatabaseGoneError, UsageError, in_words
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.stopping import StoppingRule, measure_until_stopped
from tuner.setting import Setting
from tuner.study.recording import store_verification
from tuner.study.results import Result, read_results
from tuner.study.verifications import Failure

MOVED = (
    "the machine or its package versions have changed: stored results that may be the best are "
    "re-measured here, fastest first"
)
TRIES = 2  # of a verification that fails


def verify(
    study: optuna.Study,
    goal: Goal,
    measure: Callable[[Result, StoppingRule], Iterator[Any]],
    on_verified: Callable[[Result], None],
    samples: int | None = None,
    most: int | None = None,
    *,
    failed: set[Setting] | None = None,
    deadline: Deadline | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Result | None:
    """The fastest result that meets the goal on new prompts too; None if there is none.

    It is measured on `samples` prompts, or more while the verdict is inconclusive. Verifications
    are stored with the study, so that no result is verified twice on one machine.

    Args:
        study: the results to choose from.
        goal: what a result must meet.
        measure: measures a result's setting, on the prompts for verifying, under a rule that says
            when its verdict is settled, so that its speedup is timed.
        on_verified: called with each result that was verified.
        samples: prompts of a verification; all when None.
        most: prompts of a verification that is inconclusive, where the number is known.
        failed: settings whose verification failed in this run; they are not tried again. A new run
            tries them again, unless their pictures were broken.
        deadline: no further verification is begun after it; the first one always is, because
            nothing could be exported without it.
        notice: prints a line.
    """
    failed = set() if failed is None else failed
    begun, notified = 0, False
    while True:
        candidate = goal.candidate([_retriable(result, failed) for result in read_results(study)])
        if candidate is None or candidate.verified_now:
            return candidate
        if begun and deadline is not None and deadline.passed:
            return None
        if not candidate.current and not notified:
            notified = True
            notice(MOVED)
        begun += 1
        rule = rule_of(goal, samples, most)
        verification = measure_again(partial(measure, candidate, rule), rule)
        if isinstance(verification, Failure):
            failed.add(candidate.setting)
        store_verification(study, candidate.trial, verification, goal.limits)
        on_verified(next(r for r in read_results(study) if r.trial == candidate.trial))


def rule_of(goal: Goal, samples: int | None, most: int | None) -> StoppingRule:
    """When a verification ends that takes `samples` prompts, or up to `most`."""
    return StoppingRule(
        limits=goal.limits,
        samples=samples,
        resolves=True,
        most=most,
        is_too_slow=goal.is_too_slow,
    )


def _retriable(result: Result, failed: Container[Setting]) -> Result:
    """A result whose verification failed in an earlier run, as if it had none."""
    if result.failed_again is None or result.failed_for_good or result.setting in failed:
        return result
    return replace(result, failed_again=None)


def measure_again(measure: Callable[[], Iterator[Any]], rule: StoppingRule) -> Any:
    """The `Measurement` of a verification; a `Failure` where it fails `TRIES` times."""
    for tries in count(1):
        try:
            return measure_until_stopped(measure(), rule)[0]
        except (UsageError, DatabaseGoneError):
            raise
        except Exception as error:
            broken = isinstance(error, BadPictureError)
            if broken or tries == TRIES:
                return Failure(reason=in_words(error), for_good=broken)
