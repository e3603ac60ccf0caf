"""Names of studies: those in a database file, for the completion in a shell, and similar ones."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path

from tuner.storage.plain_schema import connect_to_read, first_expression

SCHEME = "sqlite:///"
WAIT_S = 0.2  # for a process that writes
LISTED = 5  # names in a message, at most


def study_names_in(url: str) -> list[str]:
    """The studies of a SQLite database, oldest first; none where that would take long.

    So for a database on a server, or a file that cannot be read.
    """
    if "://" in url and not url.startswith(SCHEME):
        return []
    path = Path(url.removeprefix(SCHEME))
    if not path.is_file():
        return []
    try:
        with closing(connect_to_read(path, WAIT_S)) as connection:
            if first_expression(connection) is not None:
                return []
            rows = connection.execute("SELECT study_name FROM studies ORDER BY study_id")
            return [name for (name,) in rows]
    except sqlite3.Error:
        return []


def names_hint(name: str, known: Sequence[str]) -> str:
    """For a message about an unknown name: the names that are near, or else all, if few."""
    by_lower = {other.lower(): other for other in known}
    near = [other for lower, other in by_lower.items() if name.lower() in lower]
    near += [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=LISTED)]
    near = list(dict.fromkeys(near))[:LISTED]
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = len(known) - LISTED
    rest = f" and {more} more; `tuner show` lists them" if more > 0 else ""
    return f"it has: {', '.join(known[:LISTED]) or 'none'}{rest}"
