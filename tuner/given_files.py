"""Reading files that somebody else may have written: nothing in them can hang or crash a reader.

A file must be a regular one and is limited in size before it is read. What its format can express
and no tuner writes is refused: values nested deeply, numbers that no float can hold, and text that
is no Unicode. `json_text` writes none of these numbers either.
"""

import json
import stat
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from tuner.errors import UsageError
from tuner.formatting import file_size

DEEPEST = 32  # values within values; the tuner's own files have fewer than ten
GREATEST = 2**63  # of whole numbers: those of TOML and of databases have 64 bits


def read_text(path: Path, what: str, most: int, hint: str = "") -> str:
    """The text of a file in UTF-8, with or without the mark that some editors put in front.

    Args:
        path: the file.
        what: what it is, for messages: 'study file'.
        most: how many bytes it may have.
        hint: the end of the message where there is no such file.

    Raises:
        UsageError: the file cannot be read, is no regular file, has more bytes, or is not UTF-8.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading those could take forever
            raise UsageError(f"cannot read the {what} {path}: it is not a regular file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}{hint}") from error
    except ValueError as error:  # a path that no file can have, such as one with a NUL byte
        raise UsageError(f"cannot read the {what} {str(path)!r}: {error}") from error
    if len(data) > most:
        raise UsageError(
            f"the {what} {path} has {file_size(path.stat().st_size)}, but at most "
            f"{file_size(most)} are read; split it, or check whether it is the right file"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the {what} {path} is not UTF-8 text; save it as UTF-8") from error


def is_file(name: str) -> bool:
    """Whether a text is the name of a regular file; False for what no file can be called."""
    try:
        return Path(name).is_file()
    except OSError:  # a name that is too long
        return False


def is_folder(name: str) -> bool:
    """Whether a text is the name of a folder; False for what no folder can be called."""
    try:
        return Path(name).is_dir()
    except OSError:
        return False


def parsed_json(text: str) -> Any:
    """The value of a JSON document that nests no deeper than `DEEPEST`, with finite numbers.

    Raises:
        ValueError: it is no such document; the message says where or why.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(too_deep()) from None
    check_values(value, finite=True)
    return value


def json_text(value: Any, **options: Any) -> str:
    """A value as JSON; `options` are those of `json.dumps`.

    Raises:
        UsageError: a number in it is infinite or NaN, for which JSON has no word; the message says
            which.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        for place, number in _not_finite(value):
            raise UsageError(
                f"cannot write {place} as JSON: it is {number}, and JSON has finite numbers only"
            ) from None
        raise


def check_values(value: Any, *, finite: bool) -> None:
    """Check what a parser returned: its depth, its numbers and its texts.

    `finite`: whether infinite numbers are refused too, for which JSON has no word.

    Raises:
        ValueError: a list or table is nested deeper than `DEEPEST`, a whole number has more than
            64 bits, or a text has half of a surrogate pair; the message says which.
    """
    level = [value]
    for _ in range(DEEPEST):
        for item in level:
            _check_scalar(item, finite)
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise ValueError(too_deep())


def too_deep() -> str:
    """The message for values that are nested too deeply."""
    return f"lists or tables are nested more than {DEEPEST} levels deep"


def check_text(text: str) -> None:
    """Raise `ValueError` for a text with half of a surrogate pair, which no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text {text[:40]!r} has half of a surrogate pair at character {error.start}"
        ) from None


def _check_scalar(value: Any, finite: bool) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, int) and not -GREATEST <= value < GREATEST:
        raise ValueError("a whole number has more than 64 bits")
    elif finite and isinstance(value, float) and not isfinite(value):
        raise ValueError("a number is too large for a 64-bit float")


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _not_finite(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """The numbers that are infinite or NaN, each with the keys that lead to it."""
    if isinstance(value, float) and not isfinite(value):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, f"{place}[{index}]")


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")
