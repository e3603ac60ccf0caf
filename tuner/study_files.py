"""Reading study specifications from a TOML file and command-line flags."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from tuner import registry
from tuner.errors import UsageError
from tuner.given_files import check_values, read_text, too_deep
from tuner.pipelines.call_arguments import is_picture
from tuner.spec import LISTS, StudySpec
from tuner.toml_lines import line_of
from tuner.values import is_whole

PRODUCT_KEYS = ("pipe", "sched", "steps")  # several values of these make several studies
KEYS = {field.name for field in fields(StudySpec)} - {"targets_are_defaults"}
MOST_BYTES = 250_000  # of a study file; one that sets every key has a hundredth of them
MOST_STUDIES = 10_000  # of a study file; a product has so many by mistake only
MOST_DOTS = 300  # of a line; `tomllib` takes quadratically long for the parts of a dotted key
LONGEST_KEY = 100  # characters of a key that is compared with the known ones
SYNTAX_HINTS = {  # words in a message of tomllib -> what would work
    "Invalid value": '; text stands in quotes, as in "SD1.5"; yes and no are true and false',
    "Cannot overwrite a value": "; the file has this key twice, delete one of them",
    "Cannot declare": "; the file has this table twice, write its keys under one of them",
    "Expected newline": "; nothing may follow a value on its line",
    "Expected '=' after a key": "; a line is a key and its value: steps = 50",
    "Illegal character": '; a text begins and ends with a quote on the same line: "SD1.5"',
}


def read_specs(path: Path | None, flags: Mapping[str, Any]) -> list[StudySpec]:
    """The studies of a file and flags; a flag takes precedence over the file.

    Raises `UsageError` for a file that cannot be read, unknown keys and wrong values; the message
    begins with the file and the line of the mistake: 'study.toml:7: steps must be …'.
    """
    values: dict[str, Any] = {} if path is None else _read(path)
    with locating(path, flags):
        _check_keys(values)
        if path is not None:
            values |= _found_from(path.parent, values)
        values |= {name: value for name, value in flags.items() if value is not None}
        values |= {name: tuple(_listed(values[name])) for name in LISTS if name in values}
        if values.get("search_targets") == ():
            known = ", ".join(registry.components("accelerators"))
            raise UsageError(f"search_targets is empty; known: {known}", key=("search_targets",))
        if isinstance(values.get("limits"), list):
            values["limits"] = dict(_limit(text) for text in values["limits"])
        return _specs(values)


@contextmanager
def locating(path: Path | None, flags: Mapping[str, Any]) -> Iterator[None]:
    """Put the file and the line in front of a `UsageError` about a value of a study file.

    Args:
        path: the study file; None if there is none.
        flags: the values of flags, which the file's values do not replace; None if not given.
    """
    try:
        yield
    except UsageError as error:
        if path is None or not error.key or flags.get(str(error.key[0])) is not None:
            raise
        line = line_of(_text(path), error.key)
        if line is None:
            raise
        raise UsageError(f"{path}:{line}: {error}") from error


def bundled_studies() -> Path:
    """The folder of the study files that come with the package, and of their JSON Schema."""
    installed = Path(__file__).parent / "_studies"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "studies"


def _read(path: Path) -> dict[str, Any]:
    text = _text(path)
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MOST_DOTS:
            raise UsageError(f"{path}:{number}: the line has more than {MOST_DOTS} dots; split it")
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{path}: {too_deep()}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_syntax_error(path, text, str(error))) from error
    except ValueError as error:  # of a number with thousands of digits, or a date that there is not
        raise UsageError(f"{path}: this is not TOML: {error}") from error
    try:
        check_values(values, finite=False)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    return values


def _text(path: Path) -> str:
    folder = bundled_studies()
    names = ", ".join(sorted(file.name for file in folder.glob("*.toml")))
    hint = f"; `tuner init` writes one; {folder} has {names}"
    return read_text(path, "study file", MOST_BYTES, hint)


def _syntax_error(path: Path, text: str, message: str) -> str:
    """The message of `tomllib` in the form 'file:line:column: what is wrong; what would work'."""
    what, _, place = message.partition(" (at ")
    numbers = [int(number) for number in re.findall(r"\d+", place)]
    # It gives no numbers where the document ends too early.
    line, column = numbers or (text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1)
    hint = next((hint for words, hint in SYNTAX_HINTS.items() if words in what), "")
    return f"{path}:{line}:{column}: this is not TOML: {what[0].lower()}{what[1:]}{hint}"


def _check_keys(values: Mapping[str, Any]) -> None:
    """Raise `UsageError` for the first key that no study has, and for keys in a wrong table."""
    for name, value in values.items():
        if name not in KEYS:
            near = difflib.get_close_matches(name[:LONGEST_KEY], KEYS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(KEYS))}"
            raise UsageError(f"unknown key {name!r}; {hint}", key=(name,))
        for path in () if name == "call" else _paths_of_keys((name,), value):
            table = ".".join(path[:-1])
            raise UsageError(
                f"{path[-1]} stands in the table [{table}]; move it above the file's first table",
                key=path,
            )


def _found_from(folder: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline and the call of a study file, with the files that they name found from it."""
    found = {name: values[name] for name in ("pipeline", "call") if name in values}
    for name, value in found.items():
        if isinstance(value, str):
            found[name] = str(folder / value)
    if isinstance(found.get("call"), Mapping):
        found["call"] = {
            name: _pictures_from(folder, value) if is_picture(name) else value
            for name, value in found["call"].items()
        }
    return found


def _pictures_from(folder: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_pictures_from(folder, item) for item in value]
    return str(folder / value) if isinstance(value, str) else value


def _paths_of_keys(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, ...]]:
    """Where keys of a study stand inside a table."""
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        if name in KEYS:
            yield (*path, name)
        yield from _paths_of_keys((*path, name), inner)


def _specs(values: dict[str, Any]) -> list[StudySpec]:
    """A study for each combination of the values of `PRODUCT_KEYS`."""
    choices = {name: _listed(values.pop(name)) for name in PRODUCT_KEYS if name in values}
    for name, listed in choices.items():
        if not listed:
            raise UsageError(f"{name} has no value", key=(name,))
    studies = prod(map(len, choices.values()))
    if studies > MOST_STUDIES:
        raise UsageError(
            f"{' × '.join(choices)} are {studies:,} studies, but at most {MOST_STUDIES:,} are run; "
            "divide them among several study files"
        )
    specs = []
    for indices in product(*(range(len(listed)) for listed in choices.values())):
        index_of = dict(zip(choices, indices, strict=True))
        chosen = {name: choices[name][index] for name, index in index_of.items()}
        try:
            if "steps" in chosen:
                chosen["steps"] = _whole("steps", chosen["steps"])
            specs.append(StudySpec(**values, **chosen))
        except UsageError as error:
            if len(error.key) == 1 and error.key[0] in index_of:
                error.key = (*error.key, index_of[str(error.key[0])])
            raise
    return specs


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
            f"limit {text!r} must be a metric and a number, such as lpips=0.2", key=("limits",)
        ) from error


def _whole(name: str, value: Any) -> int:
    if is_whole(value) or (isinstance(value, str) and value.isdecimal() and len(value) < 20):
        return int(value)
    raise UsageError(f"{name} must be a whole number, not {value!r}", key=(name,))
