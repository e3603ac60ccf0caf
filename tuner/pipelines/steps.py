"""Notifying a call of each step that its scheduler takes, without changing the scheduler.

The scheduler's class is changed instead: during a call, its `step` looks in the context whether
this scheduler's steps are to be reported. So a copy of the scheduler, made during a call, is an
ordinary one, and calls in several threads may share a scheduler.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from threading import RLock, get_ident
from typing import Any

from tuner.errors import UsageError

Listener = Callable[[Any], None]  # is given the timestep

# The scheduler whose steps are reported in this context, and the function to report them to.
listening: ContextVar[tuple[Any, Listener] | None] = ContextVar("listening", default=None)


@dataclass
class _Installed:
    """The replaced and the replacing `step` of a class, and how many calls are using the latter."""

    plain: Any
    reporting: Any
    calls: int = 0


@dataclass
class _Watched:
    """A scheduler whose steps are reported, and whether another thread has used it meanwhile."""

    thread: int
    disturbed: bool = False


# Reentrant for the same reason as the lock in `tuner.pipelines.gate`.
_lock = RLock()
_installed: dict[Any, _Installed] = {}  # by class; empty while no accelerated call runs
_watched: dict[int, _Watched] = {}  # by the identity of a scheduler


@contextmanager
def notified_of_steps(scheduler: Any, listener: Listener) -> Iterator[None]:
    """Call `listener` with the timestep before each step of the scheduler.

    This holds in this context and within a ``with`` block. An error of the listener ends the step.

    Raises:
        UsageError: another thread makes steps of the same scheduler meanwhile, so that both calls
            would draw wrong pictures; raised by the next step, or at the end of the block.
    """
    owner = next(cls for cls in type(scheduler).__mro__ if "step" in vars(cls))
    _install(owner)
    before = listening.set((scheduler, listener))
    watched_before = _watched.get(id(scheduler))
    watched = _watched[id(scheduler)] = _Watched(get_ident())
    try:
        yield
        _check_undisturbed(scheduler, watched)
    finally:
        if watched_before is None:
            del _watched[id(scheduler)]
        else:
            _watched[id(scheduler)] = watched_before
        listening.reset(before)
        _uninstall(owner)


def _install(owner: Any) -> None:
    with _lock:
        installed = _installed.get(owner)
        if installed is None:
            plain = vars(owner)["step"]
            installed = _installed[owner] = _Installed(plain, _reporting(plain))
            owner.step = installed.reporting
        installed.calls += 1


def _uninstall(owner: Any) -> None:
    with _lock:
        installed = _installed[owner]
        installed.calls -= 1
        if not installed.calls:
            del _installed[owner]
            # If other code has wrapped the reporting step since, the wrapper stays: without a
            # listener the reporting step calls the plain one.
            if vars(owner).get("step") is installed.reporting:
                owner.step = installed.plain


def _reporting(plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)  # pipelines inspect the signature of a step
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        current = listening.get()
        watched = _watched.get(id(self))
        if watched is not None and watched.thread != get_ident():
            watched.disturbed = True
        if current is None or current[0] is not self:
            return plain(self, *args, **kwargs)
        if watched is not None:
            _check_undisturbed(self, watched)
        current[1](args[1] if len(args) > 1 else kwargs.get("timestep"))
        before = listening.set(None)  # a step may call `step` again, which is not reported
        try:
            return plain(self, *args, **kwargs)
        finally:
            listening.reset(before)

    return step


def _check_undisturbed(scheduler: Any, watched: _Watched) -> None:
    if watched.disturbed:
        name = type(scheduler).__name__
        raise UsageError(
            f"another thread used this pipeline's {name} during an accelerated call, which spoils "
            f"both pictures; give each pipeline a scheduler of its own, such as "
            f"{name}.from_config(pipe.scheduler.config)"
        )
