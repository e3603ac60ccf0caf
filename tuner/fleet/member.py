"""What each worker of `tuner run --workers` or `--scheduler` does in its process."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from tuner.fleet.child import Send
from tuner.search.runner.observer import Observer
from tuner.spec import StudySpec

STUDY, NOTICE = "study", "notice"  # kinds of messages


@dataclass(frozen=True, kw_only=True)
class Member:
    """Works on studies and reports to the client.

    Args:
        specs: the studies.
        pictures: the folder for pictures; none are kept when None.
        mark: a file in that folder which the client sees.
        run: the name of the run.
        allow_pickle: as in `tuner.load`.
        prepare: called first in the worker's process.
    """

    specs: Sequence[StudySpec]
    pictures: Path | None
    mark: Path | None
    run: str
    allow_pickle: bool
    prepare: Callable[[], None]

    def __call__(self, number: int, send: Send) -> int:
        """Work until all studies are over; returns how many there were."""
        from tuner.fleet.worker import work_on
        from tuner.session import Session

        self.prepare()
        session = Session(self.shared_pictures(send), allow_pickle=self.allow_pickle)
        specs = list(self.specs)
        over = work_on(
            specs,
            session,
            lambda spec: Report(specs.index(spec), send),
            self.run,
            Report(0, send).notice,
        )
        return sum(1 for _ in over)

    def shared_pictures(self, send: Send) -> Path | None:
        """The folder, if it is the client's: pictures elsewhere would be found by nobody."""
        if self.mark is None or self.pictures is None or self.mark.exists():
            return self.pictures
        send(
            {
                "kind": NOTICE,
                "spec": 0,
                "line": f"keeps no pictures: {self.pictures} on {socket.gethostname()} is not the "
                "folder of `tuner run`; set --pictures to a folder that all hosts share",
            }
        )
        return None


class Report(Observer):
    """Reports to the client which study a spec has, and the lines for the user."""

    def __init__(self, index: int, send: Send) -> None:
        self._index, self._send = index, send

    def study_began(self, study: optuna.Study, spent_s: Callable[[], float]) -> None:
        """The client follows the study from now on."""
        self._send({"kind": STUDY, "spec": self._index, "study": study.study_name})

    def notice(self, line: str) -> None:
        """Pass the line on."""
        self._send({"kind": NOTICE, "spec": self._index, "line": line})
