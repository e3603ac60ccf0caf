"""Telling a call of each step that its scheduler takes, with nothing left on the scheduler.

The scheduler's class is asked instead: for the length of a call its `step` looks in the context
whether it is the one that is listened to. A copy of the scheduler takes nothing of ours along, and
calls in several threads may share one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from threading import RLock
from typing import Any

Tell = Callable[[Any], None]

# The scheduler whose steps this context's call is told of, and who is told.
listening: ContextVar[tuple[Any, Tell] | None] = ContextVar("listening", default=None)


@dataclass
class _Stand:
    """What stands as the `step` of a class, and how many calls need it."""

    plain: Any
    ours: Any
    calls: int = 0


# As in `_gate.py`, the garbage collector may come back to it in the same thread.
_lock = RLock()
_stands: dict[Any, _Stand] = {}  # empty while no accelerated call runs


@contextmanager
def told_of_steps(scheduler: Any, tell: Tell) -> Iterator[None]:
    """In this context, and for the length of a ``with`` block, `tell` is given each step's time.

    It is called before the step; what it raises ends the step.
    """
    owner = next(one for one in type(scheduler).__mro__ if "step" in vars(one))
    _put_up(owner)
    before = listening.set((scheduler, tell))
    try:
        yield
    finally:
        listening.reset(before)
        _take_down(owner)


def _put_up(owner: Any) -> None:
    with _lock:
        stand = _stands.get(owner)
        if stand is None:
            plain = vars(owner)["step"]
            stand = _stands[owner] = _Stand(plain, _telling(plain))
            owner.step = stand.ours
        stand.calls += 1


def _take_down(owner: Any) -> None:
    with _lock:
        stand = _stands[owner]
        stand.calls -= 1
        if not stand.calls:
            del _stands[owner]
            # Where somebody put something over ours since, that stays: ours lets all through.
            if vars(owner).get("step") is stand.ours:
                owner.step = stand.plain


def _telling(plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)  # pipelines ask for a step's signature
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        heard = listening.get()
        if heard is None or heard[0] is not self:
            return plain(self, *args, **kwargs)
        heard[1](args[1] if len(args) > 1 else kwargs.get("timestep"))
        before = listening.set(None)  # a step that a step makes on its way is none of its own
        try:
            return plain(self, *args, **kwargs)
        finally:
            listening.reset(before)

    return step
