"""One long task on each worker of a Dask cluster, also on those that join later.

A worker that is lost is replaced by Dask (its nanny starts it again, under another address), and
gets a new task. Tasks are pinned to their workers: each worker holds a device.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import Client, Future

from tuner.fleet.child import FAILED, RESULT, Request, Work
from tuner.fleet.place import Place
from tuner.fleet.process import DIED, Ended, stop_processes
from tuner.fleet.task import Greeting, greet, run_in_process

POLL_S = 0.2  # between two looks at the workers
MOST_DEATHS = 3  # of the processes of one worker, before it is given no other one
PATIENCE_S = 60.0  # for the replacement of the last worker


class Listener:
    """What happens to the workers; they are named by host and number: 'node7:3'."""

    def joined(self, worker: str) -> None:
        """A worker has begun."""

    def message(self, worker: str, message: Any) -> None:
        """A worker has sent something. Called in a thread of Dask."""

    def ended(self, worker: str, ended: Ended) -> None:
        """The process of a worker has ended."""

    def lost(self, worker: str) -> None:
        """A Dask worker is gone, with the process of the worker."""

    def waiting(self) -> None:
        """The cluster has no worker yet."""


@dataclass
class _Member:
    """A Dask worker that has a task."""

    name: str
    place: Place | None
    future: Future


@dataclass(kw_only=True)
class Crew:
    """The workers of one run.

    Args:
        client: of the Dask cluster.
        work: what each worker does, in a process of its own; anything that cloudpickle can send.
            It may be set until the first `step`.
        places: what the workers use of their host, one for each; None where the cluster's workers
            were started with a device each.
        listener: is told what happens.
        greet: what a Dask worker runs before it gets its task; it may refuse.
        enough: how many results end the run: no other worker begins then.
        run: the name of the run, which no other run has.
    """

    client: Client
    work: Work | None = None
    places: Sequence[Place] | None = None
    listener: Listener = field(default_factory=Listener)
    greet: Callable[[], Greeting] = greet
    enough: int = 1
    run: str = field(default_factory=lambda: f"tuner-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        """Prepare what each task gets."""
        self._members: dict[str, _Member] = {}  # by the address of the Dask worker
        self._names: dict[str, str] = {}  # of all addresses so far
        self._begun = 0
        self._free = None if self.places is None else list(self.places)
        self._deaths: dict[str, int] = {}
        self._left_out: set[str] = set()  # addresses of workers that get no other task
        self._ended: list[Ended] = []
        self._empty_since: float | None = None

    def __enter__(self) -> "Crew":
        self.client.subscribe_topic(self.run, self._pass_on)
        return self

    def __exit__(self, *error: object) -> None:
        self.client.unsubscribe_topic(self.run)

    def step(self) -> list[Ended] | None:
        """Look after the workers; returns how they ended once all have, None before."""
        present = self.client.scheduler_info()["workers"]
        self._drop_lost(present)
        self._collect()
        done = sum(ended.kind == RESULT for ended in self._ended) >= self.enough
        if not done:
            for address in present:
                if address not in self._members and address not in self._left_out:
                    self._begin(address)
        if self._members:
            return None
        if present:
            self._empty_since = None
            all_left_out = bool(self._ended) and set(present) <= self._left_out
            return self._ended if done or all_left_out else None
        return self._ended if done or self._is_out_of_patience() else None

    def _is_out_of_patience(self) -> bool:
        """Whether a cluster that had workers has had none for too long."""
        if self._empty_since is None:
            self._empty_since = time.monotonic()
            self.listener.waiting()
        return bool(self._names) and time.monotonic() > self._empty_since + PATIENCE_S

    def stop(self) -> None:
        """Stop all workers as Ctrl-C does; a second time at once."""
        self._left_out |= set(self.client.scheduler_info()["workers"])
        self.client.run(stop_processes, self.run, on_error="ignore")

    def wait(self, seconds: float) -> None:
        """Wait until the workers have ended that were told to stop, at most so long."""
        end = time.monotonic() + seconds
        while self._members and time.monotonic() < end:
            self._drop_lost(self.client.scheduler_info()["workers"])
            self._collect()
            time.sleep(POLL_S)
        self.client.cancel([member.future for member in self._members.values()])

    def _begin(self, address: str) -> None:
        """Give a worker its task, if there is a place for it and it does not refuse."""
        if self._free is not None and not self._free:
            return
        greeting = self.client.run(self.greet, workers=[address], on_error="return").get(address)
        name = self._new_name(address, greeting)
        if not isinstance(greeting, Greeting) or greeting.refusal:
            ended = _refused(greeting)
            self._left_out.add(address)
            self._ended.append(ended)
            self.listener.ended(name, ended)
            return
        place = None if self._free is None else self._free.pop(0)
        request = Request(
            place=place or Place(),
            number=self._begun,
            folder=str(Path.cwd()),
            function=cloudpickle.dumps(self.work),
        )
        self._begun += 1
        future = self.client.submit(
            run_in_process,
            request,
            self.run,
            key=f"{self.run}-{request.number}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )
        self._members[address] = _Member(name, place, future)
        self.listener.joined(name)

    def _new_name(self, address: str, greeting: Greeting | Exception | None) -> str:
        """The worker's host, with a number where another worker is on it."""
        if address not in self._names:
            host = address.rpartition("/")[2]
            if isinstance(greeting, Greeting):
                host = greeting.host
            self._names[address] = f"{host}:{len(self._names)}"
        return self._names[address]

    def _drop_lost(self, present: Mapping[str, Any]) -> None:
        for address in set(self._members) - set(present):
            member = self._members.pop(address)
            self._give_back(member)
            self.client.cancel([member.future])
            self.listener.lost(member.name)

    def _collect(self) -> None:
        """Take in how workers ended; one whose process died gets another one, a few times."""
        for address, member in list(self._members.items()):
            if not member.future.done():
                continue
            del self._members[address]
            self._give_back(member)
            ended = _end_of(member.future)
            if ended is None:  # the Dask worker is gone, which the next look will show
                continue
            self.listener.ended(member.name, ended)
            self._deaths[address] = self._deaths.get(address, 0) + (ended.kind == DIED)
            if ended.kind != DIED or self._deaths[address] >= MOST_DEATHS:
                self._left_out.add(address)
                self._ended.append(ended)

    def _give_back(self, member: _Member) -> None:
        if self._free is not None and member.place is not None:
            self._free.append(member.place)

    def _pass_on(self, event: tuple[float, Mapping[str, Any]]) -> None:
        content = event[1]
        name = self._names.get(content["worker"], content["worker"])
        self.listener.message(name, content["message"])


def _refused(greeting: Greeting | BaseException | None) -> Ended:
    """The end of a worker that gets no task."""
    if isinstance(greeting, Greeting):
        return Ended(kind=FAILED, content=greeting.refusal)
    if isinstance(greeting, ModuleNotFoundError):
        reason = f"{greeting}; install the tuner there, in the same version as here"
        return Ended(kind=FAILED, content=reason)
    return Ended(kind=FAILED, content=f"it does not answer: {greeting}")


def _end_of(future: Future) -> Ended | None:
    """How the task ended; None where it ended with its Dask worker."""
    if future.status == "cancelled":
        return None
    if future.status == "error":
        error = future.exception()
        return Ended(kind=FAILED, content=f"{type(error).__name__}: {error}")
    ended: Ended = future.result()
    return ended
