"""`tuner run` with several workers: Dask places them, and the progress is read from the storage."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed import Client
from rich.console import Console

from tuner.cli.events import Events, JsonLines
from tuner.cli.fleet_arguments import AUTO
from tuner.cli.launch import StoppingLine, print_end, print_goal, print_places, what_is_known
from tuner.cli.lines import TrialLines
from tuner.cli.live import live_view
from tuner.cli.printing import print_lines
from tuner.cli.quiet import quiet, quiet_models
from tuner.cli.run_state import Activity, RunState
from tuner.cli.sweep import EndFiles, end_run, studies_of, unreached
from tuner.errors import UsageError, about, in_words
from tuner.fleet.child import FAILED, RESULT
from tuner.fleet.crew import POLL_S, Crew, Listener
from tuner.fleet.follow import Follower
from tuner.fleet.local import local_cluster
from tuner.fleet.member import NOTICE, STUDY, Member
from tuner.fleet.place import Place, places
from tuner.fleet.process import DIED, Ended
from tuner.fleet.reach import Reach, marked, network_warning
from tuner.formatting import count
from tuner.outcome import Outcome
from tuner.pictures.folder import check_folder
from tuner.search.goal import Goal
from tuner.search.runner.interrupt import Interruptible, terminable
from tuner.search.runner.observer import Observer, Observers
from tuner.spec import StudySpec
from tuner.storage.address import absolute, check_address
from tuner.storage.database import Storage
from tuner.study.results import read_results

CONNECT_S = 30.0  # for the scheduler to answer
STOP_S = 600.0  # for the workers to give back their trials after Ctrl-C
LAST_S = 20.0  # after the second Ctrl-C


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Which workers a run has: some of this host, or those of a Dask cluster."""

    workers: str | None = None  # a number or `AUTO`
    scheduler: str | None = None  # address of the scheduler of a running cluster

    @contextmanager
    def client(self, device: str | None) -> Iterator[tuple[Client, list[Place] | None]]:
        """The Dask cluster, and the places of its workers where they are on this host."""
        if self.scheduler is None:
            number = None if self.workers in (None, AUTO) else int(str(self.workers))
            with about("device"):
                chosen = places(device, number)
            with local_cluster(len(chosen)) as client:
                yield client, chosen
            return
        try:
            client = Client(self.scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {self.scheduler} ({in_words(error)}); start one "
                "with `dask scheduler`, or use --workers for the devices of this host"
            ) from error
        with client:
            yield client, None


def run_fleet(
    specs: list[StudySpec],
    fleet: Fleet,
    console: Console,
    pictures: Path | None,
    lines: JsonLines | None = None,
    *,
    allow_pickle: bool = False,
    files: EndFiles | None = None,
) -> None:
    """Search studies with several workers, and write files about all of them at the end.

    Args:
        specs: the studies; all in one database.
        fleet: which workers.
        console: where progress and results are printed.
        pictures: folder for pictures; None keeps none.
        lines: where events are written; None writes none.
        allow_pickle: as in `tuner.load`.
        files: what is written at the end; nothing when None.

    Raises:
        UsageError: no worker could do anything.
        UnreachedError: a study did not reach its goal.
    """
    files = files or EndFiles()
    files.check()
    check_folder(pictures)
    with about("storage"):
        check_address(specs[0].storage)
    specs = [replace(spec, storage=absolute(spec.storage)) for spec in specs]
    pictures = None if pictures is None else pictures.absolute()
    print_places(specs, pictures, console)
    print_lines(list(filter(None, [network_warning(specs[0].storage)])), console)
    for spec in specs:
        print_goal(spec, console)
    board = Board(specs, console, lines)
    with terminable(), fleet.client(specs[0].device) as (client, chosen):
        crew = Crew(client=client, places=chosen, listener=board, greet=Reach.of(specs[0].storage))
        with crew, marked(pictures, crew.run) as mark, board.shown():
            crew.work = Member(
                specs=specs,
                pictures=pictures,
                mark=mark,
                run=crew.run,
                allow_pickle=allow_pickle,
                prepare=quiet_both,
            )
            ended = _until_ended(crew, board)
    board.finish(ended, files)


def _until_ended(crew: Crew, board: "Board") -> list[Ended]:
    """Look after the workers and show their progress until they have ended."""
    with Interruptible(board.interrupted) as interruptible:
        try:
            while (ended := crew.step()) is None:
                board.look()
                threading.Event().wait(POLL_S)
                interruptible.check()
        except KeyboardInterrupt:
            crew.stop()
            try:
                crew.wait(STOP_S)
            except KeyboardInterrupt:
                crew.stop()
                crew.wait(LAST_S)
            board.report_interrupted()
            raise
        board.look()
        return ended


def quiet_both() -> None:
    """Silence libraries in the process of a worker as in this one."""
    quiet()
    quiet_models()


class Board(Listener):
    """Shows what the workers do: reads the studies from the storage, prints the workers' lines."""

    def __init__(
        self, specs: Sequence[StudySpec], console: Console, lines: JsonLines | None
    ) -> None:
        self._specs, self._console, self._lines = specs, console, lines
        self._opened: Storage | None = None  # once a worker has begun a study
        self._followed: dict[tuple[int, str], Followed] = {}
        self._found: list[tuple[int, str]] = []  # studies that workers reported, not yet followed
        self._lock = threading.Lock()
        self._state = RunState(specs[0])
        self._state.activity = Activity(title="starting workers")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show a live view, where there is one study and a terminal."""
        if len(self._specs) > 1:
            yield
            return
        with live_view(self._state, self._console):
            yield

    def look(self) -> None:
        """Report what is new in the studies."""
        with self._lock:
            found, self._found = self._found, []
        for index, name in found:
            if (index, name) not in self._followed:
                self._followed[index, name] = self._follow(index, name)
        for followed in self._followed.values():
            followed.follower.look()
        running = sum(followed.follower.running for followed in self._followed.values())
        self._state.activity = Activity(title=f"{count(running, 'trial')} running")

    def _follow(self, index: int, name: str) -> "Followed":
        spec = self._specs[index]
        study = self._storage.study(name)
        events = None if self._lines is None else Events(self._lines, spec)
        state = self._state if not self._followed else RunState(spec)
        observers: list[Observer] = [state, TrialLines(self._console, Goal.of(spec))]
        observers += [] if events is None else [events]
        follower = Follower(study, spec, Observers(observers))
        return Followed(follower=follower, state=state, events=events)

    @property
    def _storage(self) -> Storage:
        """The database of the studies, which is waited for as the workers do."""
        if self._opened is None:
            self._opened = Storage(self._specs[0].storage)
            self._opened.patience.begin(self._print)
        return self._opened

    def interrupted(self) -> None:
        """Ctrl-C was pressed."""
        self._state.interrupted()
        if not self._console.is_terminal:
            StoppingLine().interrupted()

    def report_interrupted(self) -> None:
        """Print what is known of each study."""
        for followed in self._followed.values():
            followed.follower.look()
            print_lines(what_is_known(followed.state), self._console)
            if followed.events is not None:
                followed.events.finished("interrupted", "run the same command again to continue")

    def finish(self, ended: Sequence[Ended], files: EndFiles) -> None:
        """Print the outcome of each study, write the files; raise what `run_fleet` raises."""
        if not any(end.kind == RESULT for end in ended):
            reasons = list(dict.fromkeys(str(end.content or "stopped") for end in ended))
            raise UsageError(f"every worker has failed: {'; '.join(reasons) or 'none answers'}")
        missed: dict[str, str] = {}
        searched = []
        for followed in self._followed.values():
            study, goal = followed.follower.study, Goal.of(followed.follower.spec)
            outcome = Outcome(study=study, goal=goal, results=read_results(study))
            missed |= print_end(outcome, self._console, followed.events)
            searched.append(study.study_name)
        storage = self._storage
        missed = unreached(self._specs, storage, missed)
        studies = studies_of(self._specs, storage, searched)
        several = self._lines if len(self._specs) > 1 else None
        end_run(studies, missed, files, self._console, several)

    def joined(self, worker: str) -> None:
        """A worker has begun."""
        self._print(f"worker {worker} has begun")

    def message(self, worker: str, message: Mapping[str, Any]) -> None:
        """A worker works on a study, or has a line for the user."""
        if message["kind"] == STUDY:
            with self._lock:
                self._found.append((message["spec"], message["study"]))
        elif message["kind"] == NOTICE:
            self._print(f"worker {worker}: {message['line']}")

    def ended(self, worker: str, ended: Ended) -> None:
        """A worker has ended; an error is one line."""
        if ended.kind == FAILED:
            self._print(f"worker {worker} has failed: {ended.content}")
        elif ended.kind == DIED:
            self._print(f"worker {worker} died: {ended.content}; its trial is measured again")

    def lost(self, worker: str) -> None:
        """A Dask worker is gone."""
        self._print(f"worker {worker} is gone; its trial is measured again by another one")

    def waiting(self) -> None:
        """The cluster has no worker."""
        self._print("waiting for a worker to join the Dask cluster")

    def _print(self, line: str) -> None:
        print_lines([line], self._console)


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A study on the board."""

    follower: Follower
    state: RunState
    events: Events | None
