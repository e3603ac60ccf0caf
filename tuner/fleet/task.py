"""The task of one Dask worker: it runs a function in a process of its own, until that ends.

A Dask worker runs tasks in threads, where no signal arrives, beside the state that libraries left
there. So the function gets a process (`tuner.fleet.child`), whose main thread it runs in. The task
waits for it, passes its messages on, and stops it when the run is stopped, when the client is gone
and when the Dask worker closes.
"""

import socket
from dataclasses import dataclass
from typing import Any

from distributed import get_worker

from tuner.fleet.child import Request
from tuner.fleet.process import RUNNING, Ended, WorkerProcess


@dataclass(frozen=True, kw_only=True)
class Greeting:
    """What a Dask worker says before it gets its task."""

    host: str
    refusal: str = ""  # why it can get no task


def run_in_process(request: Request, run: str) -> Ended:
    """Run a function beside this Dask worker; its messages are events of the topic `run`."""
    worker = get_worker()
    key = worker.get_current_task()

    def pass_on(message: Any) -> None:
        worker.log_event(run, {"worker": worker.address, "message": message})

    def is_to_stop() -> bool:
        task = worker.state.tasks.get(key)
        is_unwanted = task is None or task.state == "cancelled"  # also where the client is gone
        return is_unwanted or worker.status.name.startswith("clos")

    process = WorkerProcess(request)
    RUNNING.setdefault(run, []).append(process)
    try:
        return process.wait(pass_on, is_to_stop)
    finally:
        RUNNING[run].remove(process)


def greet() -> Greeting:
    """Says which host this is."""
    return Greeting(host=socket.gethostname())
