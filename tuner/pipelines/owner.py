"""Replacing the call of a pipeline, and running one call of it at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary, ref

from tuner.errors import UsageError

# Attributes of the class that an accelerated pipeline is given:
_PLAIN = "_tuner_plain"  # the class that the pipeline had before
_OWNED = "_tuner_owned"  # the pipeline; a copy of it has the same class and is not accelerated
# Reentrant because any allocation may start the garbage collector, which may leave an abandoned
# `with` block in the same thread and so undo there.
_lock = RLock()
_call_locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # by pipeline and by scheduler


def plain_class(pipeline: Any) -> Any:
    """The pipeline's class, or the one that it had before `take_over`."""
    return getattr(type(pipeline), _PLAIN, type(pipeline))


def take_over(pipeline: Any, call: Callable[..., Any]) -> Callable[[], None]:
    """Make ``pipeline(...)`` run ``call(pipeline, ...)`` from now on.

    Copies of the pipeline, and other pipelines with the same parts, are not affected.

    Returns:
        A function that undoes this. It may be called more than once, and during a call of the
        pipeline, which then runs to its end.

    Raises:
        UsageError: the pipeline was taken over already.
    """
    owned = ref(pipeline)

    with _lock:
        plain = plain_class(pipeline)
        if getattr(type(pipeline), _OWNED, _nobody)() is pipeline:
            raise UsageError(
                "this pipeline is accelerated already; leave its `with` block, or call the "
                "function that apply() returned, first"
            )

        @wraps(plain.__call__)
        def called(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self is not owned():
                return plain.__call__(self, *args, **kwargs)
            return call(self, *args, **kwargs)

        names = ("__module__", "__qualname__", "__doc__")
        body = {name: getattr(plain, name) for name in names}
        marks = {_PLAIN: plain, _OWNED: owned}
        accelerated = type(plain.__name__, (plain,), {**body, "__call__": called, **marks})
        pipeline.__class__ = accelerated

    def undo() -> None:
        with _lock:
            if type(pipeline) is accelerated:
                pipeline.__class__ = plain

    return undo


def _nobody() -> None:
    """In the place of a weak reference: the class belongs to no pipeline."""


@contextmanager
def exclusive_call(pipeline: Any) -> Iterator[None]:
    """Wait until no other thread makes an accelerated call of the pipeline, or of its scheduler.

    A pipeline and a scheduler can serve one call at a time, and pipelines that `from_pipe` made
    share their scheduler.
    """
    with _lock:
        locks = [_call_locks.setdefault(part, RLock()) for part in (pipeline.scheduler, pipeline)]
    with locks[0], locks[1]:
        yield
