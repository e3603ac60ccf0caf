"""Workers on this host: a Dask cluster that lasts for one run, with a process for each worker."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import dask
from distributed import Client, LocalCluster

from tuner.errors import TunerError
from tuner.fleet.child import RESULT, Send
from tuner.fleet.crew import POLL_S, Crew, Listener
from tuner.fleet.place import Place

Result = TypeVar("Result")
STARTS_S = 120.0  # for the processes of a busy machine to begin
SETTINGS = {
    "distributed.comm.timeouts.connect": f"{STARTS_S:.0f}s",
    "distributed.worker.profile.enabled": False,
}


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """A Dask cluster of this host for the length of a ``with`` block.

    Its workers only keep the processes of the run alive; Dask's limit of memory is off.
    """
    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            memory_limit=0,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            preload=["tuner.fleet.ignore_interrupts"],
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def run_on_workers(
    function: Callable[[int], Result],
    workers: int,
    *,
    places: Sequence[Place] | None = None,
    listener: Listener | None = None,
) -> list[Result]:
    """Run a function in several processes of this host at once; returns what they return.

    Each call is the main thread of a process of its own, which Dask keeps alive.

    Args:
        function: anything that cloudpickle can send; it gets the number of its worker, from 0.
        workers: how many there are.
        places: the GPU or cores of each worker; they share all of them when None.
        listener: is told what happens to the workers.

    Raises:
        TunerError: the function failed in all workers, or in one of them.
    """

    def work(number: int, send: Send) -> Any:
        return number, function(number)

    with (
        local_cluster(workers) as client,
        Crew(
            client=client,
            work=work,
            places=places or [Place()] * workers,
            listener=listener or Listener(),
            enough=workers,
        ) as crew,
    ):
        while (ended := crew.step()) is None:
            time.sleep(POLL_S)
    failed = [str(end.content) for end in ended if end.kind != RESULT]
    if failed:
        raise TunerError(f"{len(failed)} of {workers} workers failed: {failed[0]}")
    return [result for _, result in sorted(end.content for end in ended)]
