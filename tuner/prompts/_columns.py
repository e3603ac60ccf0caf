"""Prompts from a column of a table."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tuner.errors import UsageError
from tuner.given_files import parsed_json

LISTED = 20  # columns in a message

Read = Callable[[str, str | None, str], list[str]]


def csv_prompts(text: str, column: str | None, source: str, delimiter: str = ",") -> list[str]:
    """The prompts of a CSV file whose first row names its columns.

    Args:
        text: the file's contents.
        column: the column of the prompts; a file of one column needs none.
        source: what the file is called in messages, and how it is named with a column.
        delimiter: between the columns.

    Raises:
        UsageError: there is no such column, or the file is not in the format.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = list(reader.fieldnames or ())
        if not names and text.strip():
            raise UsageError(f"{source}:1: the row is empty; the first row names the columns")
        column = checked_column(column, names, source) if names else ""
        return [row[column] or "" for row in reader]
    except csv.Error as error:
        raise UsageError(f"{source}:{reader.line_num}: this is not CSV: {error}") from error


def tsv_prompts(text: str, column: str | None, source: str) -> list[str]:
    """The same as `csv_prompts` with tabs between the columns."""
    return csv_prompts(text, column, source, delimiter="\t")


def jsonl_prompts(text: str, column: str | None, source: str) -> list[str]:
    """The prompts of a file with one JSON object a line; arguments and errors as `csv_prompts`."""
    prompts = []
    for where, row in _json_lines(text, source):
        if column is None:
            column = checked_column(None, list(row), where)
        prompts.append(text_in(row, column, where))
    return prompts


def _json_lines(text: str, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each object, and where it stands: 'prompts.jsonl:3'."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parsed_json(line)
        except ValueError as error:
            raise UsageError(f"{source}:{number}: this is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UsageError(
                f"{source}:{number}: this is no JSON object; write one a line, such as "
                '{"prompt": "a red circle"}'
            )
        yield f"{source}:{number}", row


def checked_column(column: str | None, names: list[str], source: str) -> str:
    """The column of the prompts, which is the only one if none is given.

    Raises:
        UsageError: it is not among the table's columns, or there are several to choose from.
    """
    listed = ", ".join(map(str, names[:LISTED])) + ", …" * (len(names) > LISTED) or "none"
    if column is None and len(names) == 1:
        return names[0]
    if column is None:
        raise UsageError(
            f"{source} has several columns: {listed}; name one after the file: prompts = "
            f'"FILE:{names[0] if names else "COLUMN"}"'
        )
    if column not in names:
        raise UsageError(f"{source} has no column {column!r}; its columns: {listed}")
    return column


def text_in(row: Mapping[str, Any], column: str, source: str) -> str:
    """The prompt in a column of a row: a text, or the first of a list of texts.

    Raises:
        UsageError: the row lacks the column, or it is neither.
    """
    checked_column(column, list(row), source)
    value = row[column]
    if isinstance(value, list) and value:
        value = value[0]
    if value is not None and not isinstance(value, str):
        raise UsageError(
            f"{source}: the column {column!r} has {value!r:.60}, which is no text; name another "
            "column"
        )
    return value or ""
