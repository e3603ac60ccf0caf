"""Claims: work that one of several processes does for all, such as a study of a sweep.

A claim is a row of the database with the name of the work, of its worker, and a heartbeat. Like a
running trial (`tuner.storage.recovery`) it ends with its process: as soon as that is gone where
others can see it, and else after `GRACE_S` seconds without a heartbeat. It decides who works, not
what is right: a process that was suspended for too long may work beside the next one, which then
measures something twice and stores it once.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tuner.storage import worker
from tuner.storage.beating import beating
from tuner.storage.living_storage import LivingStorage
from tuner.storage.patience import patient
from tuner.storage.recovery import GRACE_S, silence_s
from tuner.storage.tables import ClaimRow
from tuner.storage.worker import Worker


class Claims:
    """The claims in a database, and those of this process among them."""

    def __init__(self, storage: LivingStorage) -> None:
        self._engine = storage.engine
        self.patience = storage.patience
        self._me = str(Worker.me())
        self._mine: set[str] = set()  # names
        self._first_seen: dict[str, tuple[float | None, float]] = {}

    def take(self, name: str) -> bool:
        """Claim the work of this name, of at most 255 characters; False where another one has it.

        The other one is a process that is alive.
        """
        if name in self._mine:
            return True
        self.holders()  # which ends the claims of dead processes
        row = {"name": name, "worker": self._me, "clock": worker.clock(), "at": worker.now()}
        taken = self.patience.run(lambda: self._insert(row), lambda: self._is_stored(row) or None)
        if taken:
            self._mine.add(name)
        return taken

    def _insert(self, row: Mapping[str, object]) -> bool:
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(ClaimRow), row)
        except IntegrityError:
            return False
        return True

    def _is_stored(self, row: Mapping[str, object]) -> bool:
        """Whether a row was stored, although the database did not confirm it."""
        mine = (ClaimRow.worker == self._me, ClaimRow.at == row["at"])
        query = select(ClaimRow).where(ClaimRow.name == row["name"], *mine)
        with self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    @patient
    def release(self, name: str) -> None:
        """End a claim of this process."""
        self._mine.discard(name)
        with self._engine.begin() as connection:
            connection.execute(
                delete(ClaimRow).where(ClaimRow.name == name, ClaimRow.worker == self._me)
            )

    @patient
    def holders(self) -> dict[str, Worker | None]:
        """The living processes that hold a claim, by its name; the claims of dead ones end."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(ClaimRow)).all()
        living: dict[str, Worker | None] = {}
        for row in rows:
            process = Worker.named(row.worker)
            since = self.patience.answering_since
            silent_s = silence_s(self._first_seen, row.name, process, row.clock, row.at, since)
            if silent_s <= GRACE_S:
                living[row.name] = process
            else:
                self._end(row.name, row.worker, row.at)
        return living

    def _end(self, name: str, of: str, at: float) -> None:
        """End a dead process's claim, unless it was renewed or taken by another one meanwhile."""
        same = (ClaimRow.name == name, ClaimRow.worker == of, ClaimRow.at == at)
        with self._engine.begin() as connection:
            connection.execute(delete(ClaimRow).where(*same))

    def beat(self) -> None:
        """Write a heartbeat for each claim of this process."""
        for name in list(self._mine):
            mine = (ClaimRow.name == name, ClaimRow.worker == self._me)
            beat = {"clock": worker.clock(), "at": worker.now()}
            with self._engine.begin() as connection:
                connection.execute(update(ClaimRow).where(*mine).values(**beat))

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write heartbeats for the length of a ``with`` block; then end all claims."""
        try:
            with beating(self.beat, "claims"):
                yield
        finally:
            for name in list(self._mine):
                self.release(name)


@dataclass(frozen=True)
class Claim:
    """One piece of work, which one process at a time may hold."""

    claims: Claims
    name: str

    def take(self) -> bool:
        """Take the claim; False while another process that is alive holds it."""
        return self.claims.take(self.name)

    def holder(self) -> Worker | None:
        """The process that holds the claim; None where none does, or where it is not known."""
        return self.claims.holders().get(self.name)

    def give_back(self) -> None:
        """Give the claim back."""
        self.claims.release(self.name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Write heartbeats for the length of a ``with`` block, and give the claim back."""
        with self.claims.beating():
            yield
