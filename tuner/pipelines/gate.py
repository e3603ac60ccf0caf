"""Sending an accelerated call of a denoiser to its double, and every other call on to itself.

Which call it is tells the context: each thread, each greenlet and each task of asyncio has its
own, so that calls that run at the same time do not see each other, and nobody waits for anybody.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import update_wrapper, wraps
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary, ref

from tuner.errors import UsageError
from tuner.pipelines.steps import listening


@dataclass
class _Route:
    """Where the calls of one denoiser go while an accelerated call of its pipeline runs."""

    denoiser: Any
    double: Any
    asked: int = 0  # calls of the denoiser
    taken: int = 0  # those that went to the double


_route: ContextVar[_Route | None] = ContextVar("route", default=None)


class Gate:
    """Stands as the `forward` of a denoiser while accelerated calls of it run."""

    def __init__(self, denoiser: Any) -> None:
        below = denoiser.forward
        update_wrapper(self, below)  # pipelines ask for a forward's signature
        self.below = below
        self.denoiser = ref(denoiser)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send a pass to the double where it belongs to an accelerated call."""
        route = _route.get()
        if route is None or route.denoiser is not self.denoiser():
            return self.below(*args, **kwargs)
        route.taken += 1
        return route.double(*args, **kwargs)


@dataclass
class _Stand:
    """A denoiser's gate, and how many calls need it."""

    gate: Gate
    before: Any  # the attribute that was there; None where it was the class's method
    hook: Any
    calls: int = 0


# Held for moments only. Whatever is allocated under it may set off the garbage collector, which may
# end a call that was abandoned: in this thread, and so by the same lock.
_lock = RLock()
_stands: WeakKeyDictionary[Any, _Stand] = WeakKeyDictionary()


@contextmanager
def sent_to(denoiser: Any, double: Any) -> Iterator[None]:
    """In this context, and for the length of a ``with`` block, the double stands in.

    Raises `UsageError` at the end where something took the gate away meanwhile, so that the
    denoiser itself was called.
    """
    route = _Route(denoiser, double)
    _put_up(denoiser)
    before = _route.set(route)
    try:
        yield
        if route.asked != route.taken:
            raise UsageError(
                f"somebody changed the forward of this {type(denoiser).__name__} in the middle of "
                f"an accelerated call, and {route.asked - route.taken} of {route.asked} steps were "
                "not accelerated; pipelines in several threads that share it must not be offloaded"
            )
    finally:
        _route.reset(before)
        _take_down(denoiser)


def aside(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, of whose passes and steps no accelerated call knows: a user's callback."""

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        before, told = _route.set(None), listening.set(None)
        try:
            return function(*args, **kwargs)
        finally:
            listening.reset(told)
            _route.reset(before)

    return called


def _put_up(denoiser: Any) -> None:
    with _lock:
        stand = _stands.get(denoiser)
        if stand is None:
            hook = denoiser.register_forward_pre_hook(_count)
            before = vars(denoiser).get("forward")
            stand = _stands[denoiser] = _Stand(Gate(denoiser), before, hook)
            vars(denoiser)["forward"] = stand.gate
        stand.calls += 1


def _take_down(denoiser: Any) -> None:
    with _lock:
        stand = _stands[denoiser]
        stand.calls -= 1
        if stand.calls:
            return
        del _stands[denoiser]
        stand.hook.remove()
        state = vars(denoiser)
        # Where somebody put something over the gate since, that stays: the gate lets all through.
        if state.get("forward") is stand.gate:
            if stand.before is None:
                del state["forward"]
            else:
                state["forward"] = stand.before


def _count(module: Any, args: Any) -> None:
    route = _route.get()
    if route is not None and route.denoiser is module:
        route.asked += 1
