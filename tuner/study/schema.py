"""What a trial stores: the names of its attributes, and figures as attributes and back.

The names are those of the first versions, so that old databases are read. A field of `Figures` is
stored by what it is: an `Estimate` as its value and its 95% interval, anything else as it is.
"""

from collections.abc import Mapping
from dataclasses import fields
from math import inf
from typing import Any

from tuner.measure.device import PeakMemory
from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate

# Trial attributes
SETTING = "setting"  # accelerator → knob → value
SAME_AS = "same_as"  # number of the trial whose figures this one took over
PAIRED = "paired"  # how many pairs were timed, the median of their ratios, and what was predicted
COST = "cost"  # seconds and pictures by purpose
BEHIND = "behind"  # number of the trial that this one was certain to be behind when it was stopped
LONG = ("scores", "numbers", "ratios", "traceback")  # read by analyses only
# Study attributes
VERIFIED = "verified"  # trial number → its verifications, one for each latency key
TIMED = "timed"  # trial number → the speedups timed at the end of a search, likewise
REFERENCE = "reference"  # number of steps → its measurements, one for each latency key
COSTS = "cost of run "  # … and a name of the run: what a run spent on no trial

_FLAT = ("speedup", "score_loss")  # stored under two names: the value, and "…_ci" its interval
MEMORY = {"device": "memory_gib", "host": "host_memory_gib"}


def attributes_of(figures: Figures) -> dict[str, Any]:
    """The figures as attributes, which JSON can hold."""
    attributes: dict[str, Any] = {}
    for field in fields(Figures):
        attributes |= figure_attributes(field.name, getattr(figures, field.name))
    return attributes


def figure_attributes(name: str, value: Any) -> dict[str, Any]:
    """One figure, by the name of its field, as attributes."""
    if name in _FLAT:
        return {name: value.value, f"{name}_ci": [value.low, value.high]}
    if isinstance(value, PeakMemory):
        return {name: getattr(value, part) for part, name in MEMORY.items()}
    return {name: _encoded(value)}


def figures_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Figures`, from attributes; what an old version did not store is left out."""
    values: dict[str, Any] = {}
    for field in fields(Figures):
        name = field.name
        if name in _FLAT:
            low, high = attributes.get(f"{name}_ci", (-inf, inf))
            values[name] = Estimate(value=attributes[name], low=low, high=high)
        elif name == "memory":
            values[name] = PeakMemory(**{p: attributes.get(key) for p, key in MEMORY.items()})
        elif name in attributes:
            values[name] = _decoded(attributes[name])
    return values


def _encoded(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {"value": value.value, "ci": [value.low, value.high]}
    if isinstance(value, Mapping):
        return {name: _encoded(inner) for name, inner in value.items()}
    return value


def _decoded(stored: Any) -> Any:
    if not isinstance(stored, Mapping):
        return stored
    if set(stored) == {"value", "ci"}:
        low, high = stored["ci"]
        return Estimate(value=stored["value"], low=low, high=high)
    return {name: _decoded(inner) for name, inner in stored.items()}
