"""Checks of single values of a study, such as the values that a search may give to a knob."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tuner import registry
from tuner.accelerators import Knob, Value
from tuner.errors import UsageError, about


def is_whole(value: Any) -> bool:
    """Whether it is an integer; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is an integer or a float; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def wrong(name: str, text: str) -> UsageError:
    """The error of a wrong value; its message is `text` after the key's name."""
    return UsageError(f"{name} {text}", key=(name,))


def checked_prompts(value: Any) -> str | tuple[str, ...] | None:
    """The name of the prompts, or the prompts of a list as a tuple; else a `UsageError`."""
    if value is None or isinstance(value, str):
        if value == "":
            raise wrong("prompts", "is empty; leave it out for the default")
        return value
    if not isinstance(value, Sequence) or not all(
        isinstance(prompt, str) and prompt.strip() for prompt in value
    ):
        raise wrong(
            "prompts", "must be a file, the name of a set, or a list of texts, none of them empty"
        )
    return tuple(value)


def checked_limit(name: str, value: Any) -> float:
    """The limit of an extra metric, which must be a finite number; else a `UsageError`."""
    if not is_number(value) or not math.isfinite(value):
        raise UsageError(f"limits.{name} must be a number, not {value!r}")
    return float(value)


def checked_knobs(knobs: Mapping[str, Any]) -> dict[str, dict[str, tuple[Value, ...]]]:
    """Accelerator -> knob -> its allowed values in ascending order, each of them checked."""
    checked: dict[str, dict[str, tuple[Value, ...]]] = {}
    for name, chosen in knobs.items():
        with about("knobs", name):
            accelerator = registry.get("accelerators", name)
            by_name = {knob.name: knob for knob in accelerator.knobs()}
            if not isinstance(chosen, Mapping):
                raise UsageError(f"knobs.{name} must be a table of knobs: {', '.join(by_name)}")
        for knob_name, values in chosen.items():
            with about("knobs", name, knob_name):
                if knob_name not in by_name:
                    known = ", ".join(by_name)
                    raise UsageError(f"unknown knob {name}.{knob_name}; known: {known}")
                listed = tuple(values) if isinstance(values, list | tuple) else (values,)
                if not listed:
                    raise UsageError(
                        f"{name}.{knob_name} has no values; list at least one, or leave it out"
                    )
            for index, value in enumerate(listed):
                with about("knobs", name, knob_name, index):
                    _check_knob_value(f"{name}.{knob_name}", by_name[knob_name], value)
            checked.setdefault(accelerator.name, {})[knob_name] = tuple(sorted(set(listed)))
    return checked


def _check_knob_value(name: str, knob: Knob, value: Any) -> None:
    if not is_number(value) or not knob.low <= value <= knob.high:
        raise UsageError(f"{name} = {value!r} is outside {knob.low} … {knob.high}")
    if all(isinstance(v, int) for v in knob.values) and not isinstance(value, int):
        raise UsageError(f"{name} takes whole numbers, not {value!r}")
