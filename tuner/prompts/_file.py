"""Prompts from a user's file."""

from pathlib import Path

from tuner.errors import UsageError
from tuner.given_files import read_text
from tuner.prompts._columns import Read, csv_prompts, jsonl_prompts, tsv_prompts
from tuner.prompts._list import PromptList

# Files with columns, by the end of their names.
TABLES: dict[str, Read] = {
    ".csv": csv_prompts,
    ".tsv": tsv_prompts,
    ".jsonl": jsonl_prompts,
    ".ndjson": jsonl_prompts,
}
MOST_BYTES = 64_000_000  # of a file
MOST_LINES = 300_000  # a column of JSON takes a second


class PromptFile:
    """A text file with one prompt a line, or a column of a CSV, TSV or JSONL file.

    Lines of a text file end with a line feed, with or without a carriage return before it. Other
    Unicode line breaks are part of their prompt. Empty prompts are skipped.
    """

    def __init__(self, path: Path, column: str | None = None) -> None:
        """`column`: that of the prompts, in a file with several; None for a text file."""
        self.path = path
        self.column = column
        self.name = str(path) if column is None else f"{path}:{column}"

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """At least `count` and up to `most` prompts; see `PromptSet.load`.

        The pools are those of `places_of`.
        """
        return self.as_list().load(count, pool, most)

    def as_list(self) -> PromptList:
        """All prompts of the file; a `UsageError` if it has none."""
        prompts = [prompt.strip() for prompt in self._prompts() if prompt.strip()]
        if not prompts:
            raise UsageError(f"the prompt file {self.path} is empty; write one prompt a line")
        return PromptList(prompts, f"the prompt file {self.path}")

    def _prompts(self) -> list[str]:
        hint = "; a data set is named ID:SPLIT:COLUMN" if "/" in str(self.path) else ""
        text = read_text(self.path, "prompt file", MOST_BYTES, hint)
        lines = max(text.count("\n"), text.count("\r"))  # the reader of CSV knows both
        if lines > MOST_LINES:
            raise UsageError(
                f"the prompt file {self.path} has {lines:,} lines, but at most {MOST_LINES:,} are "
                "read; take a part of it"
            )
        read = TABLES.get(self.path.suffix.lower())
        if read is None:
            return text.split("\n")
        return read(text, self.column, str(self.path))
