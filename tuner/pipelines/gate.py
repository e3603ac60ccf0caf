"""Routing the passes of an accelerated call to the denoiser's double, and no other passes.

Which call a pass belongs to is read from its context (`contextvars`). Each thread, greenlet and
asyncio task has its own context, so that simultaneous calls neither affect each other nor wait.
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
    """Where the passes of one denoiser go while an accelerated call of its pipeline runs."""

    denoiser: Any
    double: Any
    called: int = 0  # passes of the denoiser
    routed: int = 0  # those that went to the double


_route: ContextVar[_Route | None] = ContextVar("route", default=None)


class Gate:
    """Replaces the `forward` of a denoiser while accelerated calls of it run.

    In front of compiled code it replaces the compiled function: what runs below would be compiled.
    """

    def __init__(self, denoiser: Any, attribute: str) -> None:
        below = getattr(denoiser, attribute)
        update_wrapper(self, below)  # pipelines inspect the signature of a forward
        self.below = below
        self.denoiser = ref(denoiser)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send a pass to the double if it belongs to an accelerated call."""
        route = _route.get()
        if route is None or route.denoiser is not self.denoiser():
            return self.below(*args, **kwargs)
        route.routed += 1
        return route.double(*args, **kwargs)


@dataclass
class _Installed:
    """The gate of a denoiser, and how many calls are using it."""

    gate: Gate
    attribute: str  # that the gate replaces: `forward`, or the compiled function
    replaced: Any  # the attribute before; None if it was the method of the class
    hook: Any  # counts the passes; None where hooks would be compiled
    calls: int = 0


# Held for short moments only. It is reentrant because any allocation may start the garbage
# collector, which may end an abandoned call in the same thread and so acquire the lock again.
_lock = RLock()
_installed: WeakKeyDictionary[Any, _Installed] = WeakKeyDictionary()


@contextmanager
def routed_to(denoiser: Any, double: Any) -> Iterator[None]:
    """Route the denoiser's passes to the double, in this context and within a ``with`` block.

    Raises:
        UsageError: at the end of the block, if other code removed the gate meanwhile, so that
            passes were computed by the denoiser itself.
    """
    route = _Route(denoiser, double)
    _install(denoiser)
    before = _route.set(route)
    try:
        yield
        if route.called > route.routed:
            raise UsageError(
                f"other code changed the forward of this {type(denoiser).__name__} during an "
                f"accelerated call, and {route.called - route.routed} of {route.called} steps were "
                "not accelerated; pipelines in several threads that share it must not be offloaded"
            )
    finally:
        _route.reset(before)
        _uninstall(denoiser)


def detached(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run outside the accelerated call: its passes and steps are not part of it."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        route, listener = _route.set(None), listening.set(None)
        try:
            return function(*args, **kwargs)
        finally:
            listening.reset(listener)
            _route.reset(route)

    return wrapper


def _install(denoiser: Any) -> None:
    with _lock:
        installed = _installed.get(denoiser)
        if installed is None:
            compiled = denoiser._compiled_call_impl is not None
            attribute = "_compiled_call_impl" if compiled else "forward"
            hook = None if compiled else denoiser.register_forward_pre_hook(_count)
            replaced = vars(denoiser).get(attribute)
            gate = Gate(denoiser, attribute)
            installed = _installed[denoiser] = _Installed(gate, attribute, replaced, hook)
            vars(denoiser)[attribute] = gate
        installed.calls += 1


def _uninstall(denoiser: Any) -> None:
    with _lock:
        installed = _installed[denoiser]
        installed.calls -= 1
        if installed.calls:
            return
        del _installed[denoiser]
        if installed.hook is not None:
            installed.hook.remove()
        state = vars(denoiser)
        # If other code has wrapped the gate since, the wrapper stays: without a route the gate
        # calls what it replaced.
        if state.get(installed.attribute) is installed.gate:
            if installed.replaced is None:
                del state[installed.attribute]
            else:
                state[installed.attribute] = installed.replaced


def _count(module: Any, args: Any) -> None:
    route = _route.get()
    if route is not None and route.denoiser is module:
        route.called += 1
