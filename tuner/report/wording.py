"""Figures as the report writes them."""

from collections.abc import Callable
from math import isfinite

from tuner.measure.statistics import Estimate
from tuner.search.sweep.estimate import span

MINUS = "−"  # as wide as a digit's plus sign, so that columns align


def times(speedup: float) -> str:
    """A speedup: '2.80×'."""
    return f"{speedup:.2f}×"


def percent(share: float, digits: int = 2) -> str:
    """A share: '−0.13%'."""
    return _minus(f"{100 * share:.{digits}f}%")


def plain(value: float) -> str:
    """The figure of an extra metric: three significant digits."""
    return _minus(f"{value:.3g}")


def seconds(latency_s: float) -> str:
    """Seconds per image: '0.128 s', '12.1 s'."""
    return f"{latency_s:.3f} s" if latency_s < 10 else f"{latency_s:.1f} s"


def times_interval(speedup: Estimate) -> str:
    """The 95% interval of a speedup: '2.71 … 2.88'; empty where it is infinite."""
    return _interval(speedup, lambda value: f"{value:.2f}")


def percent_interval(share: Estimate) -> str:
    """The 95% interval of a share: '−0.4 … 1.4%'; empty where it is infinite."""
    text = _interval(share, lambda value: _minus(f"{100 * value:.1f}"))
    return f"{text}%" if text else ""


def plain_interval(figure: Estimate) -> str:
    """The 95% interval of an extra metric; empty where it is infinite."""
    return _interval(figure, plain)


def duration(total_s: float) -> str:
    """A duration in its two greatest units: '4 min 12 s', '12.3 s'."""
    return f"{total_s:.1f} s" if total_s < 60 else span(total_s)


def count(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: '1 trial', '1,024 pictures'."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def _interval(figure: Estimate, text: Callable[[float], str]) -> str:
    if not (isfinite(figure.low) and isfinite(figure.high)):
        return ""
    return f"{text(figure.low)} … {text(figure.high)}"


def _minus(text: str) -> str:
    """A number with a typographic minus; without one where it rounds to zero."""
    zero = not text.strip("-0.%")
    return text.lstrip("-") if zero else text.replace("-", MINUS)
