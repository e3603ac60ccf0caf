"""Numbers as text: one function for each kind of figure, for every table, sentence and message.

Percentages have no space before their sign, and a number that rounds to zero has no minus. The 95%
interval of a figure follows it in parentheses: '0.50% (-0.20 … 1.20%)'.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from math import isfinite
from typing import Protocol

UNKNOWN_END = "?"  # of an interval whose other end is known


class Estimate(Protocol):
    """A figure with its 95% interval, whose ends are infinite where they are not known."""

    @property
    def value(self) -> float:
        """The figure."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def times(speedup: float, width: int = 0) -> str:
    """A speedup: '2.80×'; `width` is the minimum number of characters before the sign."""
    return f"{speedup:{width or ''}.2f}×"


def percent(share: float, digits: int = 2, width: int = 0) -> str:
    """A share: '-0.13%'; `width` is the minimum number of characters."""
    return f"{share:z{width or ''}.{digits}%}"


def short_percent(share: float) -> str:
    """A share that people chose, with as few digits as it has: '2%', '0.5%'."""
    return f"{round(100 * share, 6):z.3g}%"


def plain(value: float) -> str:
    """The figure of an extra metric: three significant digits."""
    return f"{value:.3g}"


def seconds(latency_s: float) -> str:
    """Seconds per image: '0.128 s', '12.1 s'."""
    return f"{latency_s:.3f} s" if latency_s < 10 else f"{latency_s:.1f} s"


def with_unit(value: float | Estimate, unit: str, digits: int = 2) -> str:
    """A quantity, with its interval if it has one: '1.07 GiB', '12.3 J (11.9 … 12.7 J)'."""
    if isinstance(value, int | float):
        return f"{value:.{digits}f} {unit}"
    interval = _interval(value, lambda end: f"{end:.{digits}f}")
    return _with(with_unit(value.value, unit, digits), f"{interval} {unit}" if interval else "")


def times_interval(speedup: Estimate) -> str:
    """The 95% interval of a speedup: '2.71 … 2.88'; '' where neither end is known."""
    return _interval(speedup, lambda value: f"{value:.2f}")


def percent_interval(share: Estimate) -> str:
    """The 95% interval of a share: '-0.20 … 1.20%'; '' where neither end is known."""
    text = _interval(share, lambda value: percent(value).rstrip("%"))
    return f"{text}%" if text else ""


def plain_interval(figure: Estimate) -> str:
    """The 95% interval of an extra metric; '' where neither end is known."""
    return _interval(figure, plain)


def times_with_interval(speedup: Estimate) -> str:
    """A speedup with its 95% interval: '2.80× (2.71 … 2.88)'."""
    return _with(times(speedup.value), times_interval(speedup))


def percent_with_interval(share: Estimate) -> str:
    """A share with its 95% interval: '0.50% (-0.20 … 1.20%)'."""
    return _with(percent(share.value), percent_interval(share))


def plain_with_interval(figure: Estimate) -> str:
    """The figure of an extra metric with its 95% interval: '0.0813 (0.0702 … 0.0924)'."""
    return _with(plain(figure.value), plain_interval(figure))


def duration(total_s: float) -> str:
    """A duration: '12.3 s' or, from a minute on, in its two greatest units: '4 min 12 s'."""
    return f"{total_s:.1f} s" if total_s < 60 else span(total_s)


def span(total_s: float) -> str:
    """A duration in its two greatest units, and whole seconds: '12 days 3 h', '0 min 12 s'."""
    whole = timedelta(seconds=round(total_s))
    hours, rest = divmod(whole.seconds, 3600)
    if whole.days:
        return f"{whole.days:,} day{'s' if whole.days > 1 else ''} {hours} h"
    if hours:
        return f"{hours} h {rest // 60} min"
    return f"{rest // 60} min {rest % 60} s"


def file_size(size: int) -> str:
    """The size of a file in bytes: '812 bytes', '3.1 MB'."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.3g} {unit}"
    return count(size, "byte")


def count(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: '1 trial', '1,024 pictures'."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """Names with a word before the last one: 'tome', 'deepcache, tome and tgate'."""
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _interval(figure: Estimate, text: Callable[[float], str]) -> str:
    if not isfinite(figure.low) and not isfinite(figure.high):
        return ""
    low, high = (text(end) if isfinite(end) else UNKNOWN_END for end in (figure.low, figure.high))
    return f"{low} … {high}"


def _with(figure: str, interval: str) -> str:
    return f"{figure} ({interval})" if interval else figure
