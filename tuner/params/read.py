"""Reading a `search_params.json`; an invalid part is named in one line."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any

from jsonschema.exceptions import best_match

from tuner.errors import UsageError
from tuner.given_files import parsed_json, read_text
from tuner.params import schema
from tuner.params.pick import all_points
from tuner.scheduler_table import name_of

MOST_BYTES = 16_000_000  # of a file; that of a sweep of a thousand studies has about as many
LONGEST = 1000  # characters of a message that are looked at, which may quote all of the file
COMPARED = 100  # mistakes of a file, the clearest of which is named


def read(path: Path) -> dict[str, Any]:
    """The contents of a `search_params.json`.

    Optional keys that older files lack are added with empty values.

    Raises:
        UsageError: the file cannot be read, is not a `search_params.json`, or a part is invalid.
    """
    text = read_text(path, "file", MOST_BYTES, "; `tuner export` writes such a file")
    try:
        contents = parsed_json(text)
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(contents, dict) or contents.get("schema") != schema.VERSION:
        raise UsageError(
            f"{path} is not a search_params.json of schema {schema.VERSION}; "
            "`tuner export` writes one"
        )
    _check(contents, str(path), complete=True)
    for study in contents["studies"].values():
        study["goal"].setdefault("limits", {})
        for point in all_points(study):
            point.setdefault("fidelity", {})
    return contents


def check_contents(contents: Mapping[str, Any], *, complete: bool = False) -> None:
    """Raise `UsageError` if contents lack a key that applying them needs, or a part is invalid.

    `complete`: whether they must have the figures of a file too, from which a setting is picked.
    """
    _check(contents, "the contents of search_params.json", complete=complete)


def _check(contents: Mapping[str, Any], source: str, *, complete: bool) -> None:
    """Raise `UsageError` naming the source and the invalid part."""
    errors = schema.validator(complete=complete).iter_errors(contents)
    error = best_match(islice(errors, COMPARED))
    if error is not None:
        # Where null is allowed as well, the error of the other alternative says more.
        alternatives = [inner for inner in error.context or () if inner.validator_value != "null"]
        error = best_match(alternatives) or error
        part = " → ".join(map(str, error.absolute_path)) or "the top level"
        what = shorten(error.message[:LONGEST], 160)
        raise UsageError(f"{source}: at {part}: {what}; `tuner export` writes a new file")
    for name, study in contents["studies"].items():
        try:
            name_of(study["sched"])
        except UsageError as unknown:
            raise UsageError(f"{source}: at studies → {name} → sched: {unknown}") from None
