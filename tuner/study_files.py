"""Reading study specifications from a TOML file and command-line flags."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

from tuner import registry
from tuner.errors import UsageError
from tuner.spec import LISTS, StudySpec, is_whole

PRODUCT_KEYS = ("pipe", "sched", "steps")  # several values of these make several studies
KEYS = {field.name for field in fields(StudySpec)} - {"targets_are_defaults"}


def read_specs(path: Path | None, flags: Mapping[str, Any]) -> list[StudySpec]:
    """The studies of a file and flags; a flag takes precedence over the file.

    Raises `UsageError` for a file that cannot be read, unknown keys and wrong values.
    """
    source = path or "the flags"
    values: dict[str, Any] = {} if path is None else _read(path)
    values |= {name: value for name, value in flags.items() if value is not None}
    _check_keys(values, path)
    values |= {name: tuple(_listed(values[name])) for name in LISTS if name in values}
    if values.get("search_targets") == ():
        accelerators = ", ".join(registry.components("accelerators"))
        raise UsageError(f"search_targets is empty; known: {accelerators}")
    if isinstance(values.get("limits"), list):
        values["limits"] = dict(_limit(text) for text in values["limits"])
    choices = {name: _listed(values.pop(name)) for name in PRODUCT_KEYS if name in values}
    for name, listed in choices.items():
        if not listed:
            raise UsageError(f"{name} has no value in {source}")
    specs = []
    for combination in product(*choices.values()):
        chosen = dict(zip(choices, combination, strict=True))
        if "steps" in chosen:
            chosen["steps"] = _whole("steps", chosen["steps"])
        try:
            specs.append(StudySpec(**values, **chosen))
        except TypeError as error:
            raise UsageError(f"a value in {source} has the wrong type: {error}") from error
    return specs


def bundled_studies() -> Path:
    """The folder of the study files that come with the package."""
    installed = Path(__file__).parent / "_studies"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "studies"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        bundled = ", ".join(sorted(file.stem for file in bundled_studies().glob("*.toml")))
        raise UsageError(
            f"cannot read the study file {path}: {error.strerror}; bundled study files: {bundled}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the study file {path} is not TOML: {error}") from error


def _check_keys(values: Mapping[str, Any], path: Path | None) -> None:
    """Raise `UsageError` for the first key that no study has."""
    for name in values:
        if name not in KEYS:
            near = difflib.get_close_matches(name, KEYS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(KEYS))}"
            raise UsageError(f"unknown key {name!r} in {path}; {hint}")


def _listed(value: Any) -> list[Any]:
    """The items of a sequence, of a text with commas, or of a single value, as a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, Sequence) else [value]


def _limit(text: Any) -> tuple[str, float]:
    """Name and number of a limit such as 'lpips=0.2'."""
    name, _, value = str(text).partition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        raise UsageError(
            f"limit {text!r} must be a metric and a number, such as lpips=0.2"
        ) from error


def _whole(name: str, value: Any) -> int:
    if is_whole(value) or (isinstance(value, str) and value.isdecimal()):
        return int(value)
    raise UsageError(f"{name} must be a whole number, not {value!r}")
