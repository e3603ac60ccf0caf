"""Claims: work on a study that one process does for all, such as verifying its best setting.

A claim is a row with a heartbeat, as trials have one (`tuner.storage.living_storage`): a process
that dies loses its claims, at once where others can see that it has ended, else after the grace
period. It decides who works, not what is right: a process that was suspended for too long may work
beside the next one, which then measures something twice and stores it once.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tuner.storage import worker
from tuner.storage.living_storage import BEAT_S
from tuner.storage.recovery import GRACE_S, silence_s
from tuner.storage.tables import ClaimRow
from tuner.storage.worker import Worker

# By the process that looks: the last heartbeat of a claim's holder, and when it was first seen.
Seen = dict[int, tuple[float | None, float]]


class Claim:
    """One piece of work on a study, which one process at a time may hold."""

    def __init__(self, engine: Engine, study_id: int, part: str) -> None:
        """`part` names the work; at most 32 characters."""
        self._engine = engine
        self._key = (ClaimRow.study == study_id, ClaimRow.part == part)
        self._row = {"study": study_id, "part": part}
        self._seen: Seen = {}

    def take(self) -> bool:
        """Take the claim; False while another process that is alive holds it."""
        self._drop_dead()
        row = self._row | {"worker": str(Worker.me())} | _beat()
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(ClaimRow).values(row))
        except IntegrityError:
            return False
        return True

    def holder(self) -> Worker | None:
        """The process that holds the claim; None where none does."""
        with self._engine.connect() as connection:
            name = connection.execute(select(ClaimRow.worker).where(*self._key)).scalar()
        return None if name is None else Worker.named(name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Write heartbeats for the length of a ``with`` block, and give the claim back."""
        ended = threading.Event()

        def beat_until_the_end() -> None:
            mine = ClaimRow.worker == str(Worker.me())
            while not ended.wait(BEAT_S):
                try:
                    with self._engine.begin() as connection:
                        connection.execute(update(ClaimRow).where(*self._key, mine).values(_beat()))
                except SQLAlchemyError:
                    continue  # the next heartbeat may succeed

        thread = threading.Thread(target=beat_until_the_end, name="claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with self._engine.begin() as connection:
                mine = ClaimRow.worker == str(Worker.me())
                connection.execute(delete(ClaimRow).where(*self._key, mine))

    def _drop_dead(self) -> None:
        """Remove the claim of a process that is dead."""
        query = select(ClaimRow.worker, ClaimRow.clock, ClaimRow.at).where(*self._key)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return
        silent_s = silence_s(self._seen, 0, Worker.named(row.worker), row.clock, row.at)
        if silent_s > GRACE_S:
            with self._engine.begin() as connection:
                same = (ClaimRow.worker == row.worker, ClaimRow.at == row.at)
                connection.execute(delete(ClaimRow).where(*self._key, *same))


def _beat() -> dict[str, object]:
    return {"clock": worker.clock(), "at": worker.now()}
