"""The account of what measuring costs: seconds and pictures, by what they are for."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from tuner.values import is_number, is_whole

MOST = 10**12  # seconds, pictures or graphs that an account can have; sums of them stay finite


class Purpose(StrEnum):
    """What seconds are spent on, and pictures generated for."""

    LOADING = "loading"  # the pipeline and the metrics
    BASELINE = "baseline"
    TIMED_STEPS = "timed steps"  # of the few settings from which speeds are predicted
    COMPILING = "compiling"  # by torch.compile, which is never part of a latency
    WARM_UP = "warm-up"
    SCORED = "scored pictures"  # of trials
    TIMING = "timing only"  # pictures of prompts that are scored already
    VERIFICATION = "verification"  # the winner's pictures and the baseline's, of other prompts
    FEWER_STEPS = "fewer steps"  # all that measuring the plain pipeline with fewer steps takes
    SCORING = "scoring"  # the score, the extra metrics and the checks of the pictures
    WAITING = "waiting"  # for other runs of the study
    REST = "the rest"  # database, picture files, sampler


@dataclass(kw_only=True)
class Account:
    """Seconds of wall-clock time and numbers of pictures, by purpose; and graphs compiled."""

    seconds: dict[Purpose, float] = field(default_factory=dict)
    pictures: dict[Purpose, int] = field(default_factory=dict)
    graphs: int = 0  # that torch.compile compiled

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From what `stored` returned; purposes that this version does not know are the rest.

        Raises:
            ValueError: it is something else; the message says where.
        """
        account = cls()
        for name, seconds in _numbers(stored, "seconds", is_number):
            account.add(_purpose(name), seconds)
        for name, pictures in _numbers(stored, "pictures", is_whole):
            account.add(_purpose(name), 0.0, pictures)
        account.graphs = _checked("graphs", stored.get("graphs", 0), is_whole)
        return account

    def stored(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "seconds": {name.value: round(s, 4) for name, s in self.seconds.items()},
            "pictures": {name.value: count for name, count in self.pictures.items() if count},
            **({"graphs": self.graphs} if self.graphs else {}),
        }

    def add(self, purpose: Purpose, seconds: float, pictures: int = 0) -> None:
        """Add to what was spent for a purpose."""
        self.seconds[purpose] = self.seconds.get(purpose, 0.0) + seconds
        self.pictures[purpose] = self.pictures.get(purpose, 0) + pictures

    def include(self, other: "Account") -> None:
        """Add all of another account."""
        for purpose, seconds in list(other.seconds.items()):  # another thread may add to them
            self.seconds[purpose] = self.seconds.get(purpose, 0.0) + seconds
        for purpose, pictures in list(other.pictures.items()):
            self.pictures[purpose] = self.pictures.get(purpose, 0) + pictures
        self.graphs += other.graphs

    @property
    def total_s(self) -> float:
        """Seconds for all purposes."""
        return sum(list(self.seconds.values()))

    def all_for(self, purpose: Purpose) -> "Account":
        """A copy in which everything was spent for one purpose."""
        pictures = sum(list(self.pictures.values()))
        seconds = {purpose: self.total_s}
        return Account(seconds=seconds, pictures={purpose: pictures}, graphs=self.graphs)

    def with_rest(self, wall_s: float) -> "Account":
        """A copy in which what is left of `wall_s` seconds is the rest."""
        seconds = self.seconds | {Purpose.REST: 0.0}
        seconds[Purpose.REST] = max(0.0, wall_s - sum(seconds.values()))
        return Account(seconds=seconds, pictures=dict(self.pictures), graphs=self.graphs)


def _numbers(stored: Any, key: str, is_right: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """The names and numbers of one part of a stored account, each of them checked."""
    part = stored.get(key, {}) if isinstance(stored, Mapping) else stored
    if not isinstance(part, Mapping):
        text = f"{key} must be a table of purposes, not {str(part)[:40]!r}"
        raise ValueError(text)  # noqa: TRY004 - one kind of error for all that may be wrong
    for name, value in part.items():
        yield name, _checked(f"{key} of {name[:40]!r}", value, is_right)


def _checked(what: str, value: Any, is_right: Callable[[Any], bool]) -> Any:
    if not is_right(value) or not 0 <= value <= MOST:  # NaN is in no order
        kind = "whole number" if is_right is is_whole else "number"
        raise ValueError(f"{what} must be a {kind} from 0 to {MOST:,}, not {str(value)[:40]!r}")
    return value


def _purpose(name: str) -> Purpose:
    return Purpose(name) if name in set(Purpose) else Purpose.REST


class Ledger:
    """Where a process enters what it spends: in the account of the running trial, or in its own.

    A process's own account has what is stored with no trial, such as the baseline. A trial's is
    part of it until `settle`, so that nothing is lost of one that ends early. `own` may be called
    by another thread.
    """

    def __init__(self) -> None:
        """Counts from now on."""
        self._own = Account()
        self._stored = Account()  # with trials
        self._ended: Account | None = None  # of the trial that ended last, until it is settled
        self._current = self._own
        self._start = time.monotonic()

    def add(self, purpose: Purpose, seconds: float, pictures: int = 0) -> None:
        """Enter seconds and pictures."""
        self._current.add(purpose, seconds, pictures)

    def add_compiling(self, seconds: float, graphs: int) -> None:
        """Enter what torch.compile did."""
        self.add(Purpose.COMPILING, seconds)
        self._current.graphs += graphs

    @contextmanager
    def spent(self, purpose: Purpose) -> Iterator[None]:
        """Enter the wall-clock time of a ``with`` block, without what is entered within it."""
        start, before = time.monotonic(), self._current.total_s
        try:
            yield
        finally:
            within = self._current.total_s - before
            self.add(purpose, max(0.0, time.monotonic() - start - within))

    @contextmanager
    def measurement(
        self, *, of_trial: bool, purpose: Purpose | None = None
    ) -> Iterator["TrialAccount"]:
        """For a ``with`` block, enter everything in an account of its own.

        That of a trial is to be stored with it, however the block ends (`ended_trial`); that of a
        verification, or of fewer steps, is part of the process's own. With a `purpose`, all of it
        was for that purpose.
        """
        self.settle(stored=False)
        account = TrialAccount(purpose=purpose)
        self._current = account
        try:
            yield account
        finally:
            self._current = self._own
            if of_trial:
                self._ended = account.so_far()
            else:
                self._own.include(account.by_purpose())

    @property
    def ended_trial(self) -> Account | None:
        """What the trial that ended last has cost; None where that was settled."""
        return self._ended

    def settle(self, *, stored: bool) -> None:
        """What the trial that ended last has cost was stored with it, or belongs to the process."""
        ended, self._ended = self._ended, None
        if ended is not None:
            (self._stored if stored else self._own).include(ended)

    @property
    def wall_s(self) -> float:
        """Seconds since it began to count."""
        return time.monotonic() - self._start

    def own(self) -> Account:
        """What this process has spent and stored with no trial, its unexplained time included."""
        own, ended, current = Account(), self._ended, self._current
        own.include(self._own)
        if ended is not None:
            own.include(ended)
        if isinstance(current, TrialAccount):
            own.include(current.by_purpose())
        return own.with_rest(self.wall_s - self._stored.total_s)


@dataclass(kw_only=True)
class TrialAccount(Account):
    """What one trial, or one verification, has cost since it began."""

    purpose: Purpose | None = None  # what all of it is for, if that is one purpose
    start: float = field(default_factory=time.monotonic)

    def by_purpose(self) -> Account:
        """What was entered in it; with a purpose, all of it for that."""
        return self if self.purpose is None else self.all_for(self.purpose)

    def so_far(self) -> Account:
        """A copy of it; the time since the start that has no purpose is the rest."""
        return self.with_rest(time.monotonic() - self.start)
