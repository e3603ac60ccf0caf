"""Work on a study that one of its runs does for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.observer import Observer
from tuner.search.runner.other_runs import pause
from tuner.storage.claims import Claim
from tuner.storage.log import log_of

BASELINE = "baseline"
STEPS = "steps"  # timing the steps from which speeds are predicted
ENDING = "ending"  # verifying the winner, timing the front, measuring fewer steps
FIRST = "first"  # verifying what other studies have found, before the first trial
RESOLVING = "resolving"  # choosing the setting that a run resolves next
WORK = {
    BASELINE: "measures the baseline",
    STEPS: "times the steps of some settings",
    FIRST: "verifies what other studies have found",
    ENDING: "verifies the best setting and times the front",
}


@contextmanager
def alone(
    study: optuna.Study,
    part: str,
    *,
    waits: bool = True,
    observer: Observer | None = None,
) -> Iterator[bool]:
    """Do a part of the work for the length of a ``with`` block, while no other run does it.

    Yields False where another run does it and `waits` is false. A run that has waited finds what
    the other one stored.

    Args:
        study: the study; one in memory has a single run.
        part: one of `WORK`, or `RESOLVING`.
        waits: whether to wait while another run does it.
        observer: is notified of which run is waited for, for how long, and of Ctrl-C.
    """
    claim = log_of(study).claim(part)
    if claim is None:
        yield True
        return
    if not _take(claim, part, waits, observer or Observer()):
        yield False
        return
    with claim.held():
        yield True


def _take(claim: Claim, part: str, waits: bool, observer: Observer) -> bool:
    """Take a claim, if need be by waiting for it; whether it was taken."""
    is_told = False
    with Interruptible(observer.interrupted) as interruptible:
        while not claim.take():
            interruptible.check()
            if not waits:
                return False
            holder = claim.holder()
            if not is_told and part in WORK and holder is not None:
                is_told = True
                observer.notice(f"waiting for {holder.for_people}, which {WORK[part]}")
            pause(observer)
        if interruptible.pressed:
            claim.give_back()
        interruptible.check()
    return True
