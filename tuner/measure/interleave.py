"""Two generations interleaved step by step, so that both meet the same load of the machine.

A shared machine is fast for some seconds and slow for the next. Two batches, one after the other,
may run under different loads; two batches whose steps are interleaved run under the same. On two
cores of a shared host, that leaves a third to a fifth of the scatter (`bench.speed.turns`).
"""

import copy
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from greenlet import getcurrent, greenlet

from tuner.pipelines.denoiser import denoiser_of

YieldControl = Callable[[], None]  # lets the other jobs run; returns when the caller may go on
Job = Callable[[YieldControl | None], Any]
RunJobs = Callable[[Sequence[Job]], list[Any]]


def interleaved(jobs: Sequence[Job]) -> list[Any]:
    """Run jobs in one thread: each runs until it yields control, then the next one does.

    Where a job raises an error, the others are ended where they are, and the caller gets the error.

    Returns:
        What each job returned, in the order of the jobs.
    """
    import torch

    scheduler = getcurrent()

    def yield_control() -> None:
        scheduler.switch()

    running = {index: greenlet(job) for index, job in enumerate(jobs)}
    results: list[Any] = [None] * len(jobs)
    started: set[int] = set()
    try:
        # Jobs that switch gradients off and on again would do so for one another.
        with torch.no_grad():
            while running:
                for index, job in list(running.items()):
                    result = job.switch() if index in started else job.switch(yield_control)
                    started.add(index)
                    if job.dead:
                        results[index] = result
                        del running[index]
    finally:
        for job in running.values():
            job.throw()
    return results


def one_by_one(jobs: Sequence[Job]) -> list[Any]:
    """Run jobs one after the other; none yields control."""
    return [job(None) for job in jobs]


def twin_of(pipeline: Any) -> Any:
    """A pipeline with the same weights that can be patched independently.

    It has its own denoiser modules and its own scheduler; no tensor is copied.
    """
    denoiser = denoiser_of(pipeline)
    shared = {id(tensor): tensor for tensor in chain(denoiser.parameters(), denoiser.buffers())}
    name = "unet" if getattr(pipeline, "unet", None) is denoiser else "transformer"
    twin = copy.copy(pipeline)
    setattr(twin, name, copy.deepcopy(denoiser, shared))
    twin.scheduler = copy.deepcopy(pipeline.scheduler)
    return twin
