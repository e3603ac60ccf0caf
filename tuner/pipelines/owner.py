"""Standing in for a pipeline's call: our mark on it, and one call of it at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary, ref

from tuner.errors import UsageError

_MARK = "_tuner_plain"  # on the class of a pipeline that is accelerated: what its class was
_OWNED = "_tuner_owned"  # and which pipeline it is; a copy of that has the class, and is plain
# Whatever is allocated under it may set off the garbage collector, which may leave an abandoned
# `with` block and so undo in this thread.
_lock = RLock()
_turns: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # a pipeline -> the lock of its calls


def plain_class(pipeline: Any) -> Any:
    """The pipeline's class, or what it was before the pipeline was taken over."""
    return getattr(type(pipeline), _MARK, type(pipeline))


def take_over(pipeline: Any, call: Callable[..., Any]) -> Callable[[], None]:
    """From now on ``pipeline(...)`` is ``call(pipeline, ...)``; gives back what undoes it.

    Its copies, and other pipelines of the same parts, stay as they are. Undoing may come twice,
    and in the middle of a call, which then goes on to its end.

    Raises `UsageError` where it was taken over already.
    """
    owned = ref(pipeline)

    with _lock:
        plain = plain_class(pipeline)
        if getattr(type(pipeline), _OWNED, _nobody)() is pipeline:
            raise UsageError(
                "this pipeline is accelerated already; leave that `with` block (or call its undo) "
                "first"
            )

        @wraps(plain.__call__)
        def called(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self is not owned():
                return plain.__call__(self, *args, **kwargs)
            return call(self, *args, **kwargs)

        names = ("__module__", "__qualname__", "__doc__")
        body = {name: getattr(plain, name) for name in names}
        marks = {_MARK: plain, _OWNED: owned}
        taken = type(plain.__name__, (plain,), {**body, "__call__": called, **marks})
        pipeline.__class__ = taken

    def undo() -> None:
        with _lock:
            if type(pipeline) is taken:
                pipeline.__class__ = plain

    return undo


def _nobody() -> None:
    """In the place of a reference, where a class is nobody's."""


@contextmanager
def its_turn(pipeline: Any) -> Iterator[None]:
    """Hold the pipeline for a call: its scheduler counts the steps of one at a time."""
    with _lock:
        turn = _turns.setdefault(pipeline, RLock())
    with turn:
        yield
