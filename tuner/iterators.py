"""Iterators of measurements."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def closing(measurements: Iterator[Any]) -> Iterator[None]:
    """Close measurements at the end of a ``with`` block, which enters their cost.

    Otherwise the traceback of an error would keep them open.
    """
    try:
        yield
    finally:
        if isinstance(measurements, Generator):
            measurements.close()
