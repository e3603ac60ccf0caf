"""Two generations by turns, step by step, so that both meet the same machine.

A machine that is shared is now fast and now slow, for a second or for ten. Of two batches one after
the other, each may meet another machine; of two that take their steps by turns, both meet the same.
On two cores of a shared host that leaves a third to a fifth of the scatter (`bench.speed.turns`).
"""

import copy
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from greenlet import getcurrent, greenlet

from tuner.pipelines.denoiser import denoiser_of

HandOver = Callable[[], None]
Job = Callable[[HandOver | None], Any]
Way = Callable[[Sequence[Job]], list[Any]]


def interleaved(jobs: Sequence[Job]) -> list[Any]:
    """Run jobs in one thread; each goes on until it hands over, and then it is the next one's turn.

    What a job raises ends the others where they stand, and goes on to the caller.
    """
    import torch

    here = getcurrent()

    def hand_over() -> None:
        here.switch()

    running = {index: greenlet(job) for index, job in enumerate(jobs)}
    found: list[Any] = [None] * len(jobs)
    begun: set[int] = set()
    try:
        # Jobs that switch gradients off and on again would do so for one another.
        with torch.no_grad():
            while running:
                for index, job in list(running.items()):
                    came = job.switch() if index in begun else job.switch(hand_over)
                    begun.add(index)
                    if job.dead:
                        found[index] = came
                        del running[index]
    finally:
        for job in running.values():
            job.throw()
    return found


def one_by_one(jobs: Sequence[Job]) -> list[Any]:
    """Run jobs one after the other, none of which hands over."""
    return [job(None) for job in jobs]


def twin_of(pipeline: Any) -> Any:
    """A pipeline that computes the same with the same weights, and can be patched by itself.

    It has a denoiser and a scheduler of its own; nothing of a tensor's size is copied.
    """
    denoiser = denoiser_of(pipeline)
    shared = {id(one): one for one in chain(denoiser.parameters(), denoiser.buffers())}
    name = "unet" if getattr(pipeline, "unet", None) is denoiser else "transformer"
    twin = copy.copy(pipeline)
    setattr(twin, name, copy.deepcopy(denoiser, shared))
    twin.scheduler = copy.deepcopy(pipeline.scheduler)
    return twin
