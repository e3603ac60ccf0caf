"""The contract of a prompt set; each other file of this folder is one prompt set.

`prompt_set` finds one by its name. Files that begin with an underscore are helpers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tuner import registry
from tuner.errors import UsageError
from tuner.given_files import is_file
from tuner.prompts._data_set import PromptData
from tuner.prompts._file import TABLES, PromptFile
from tuner.prompts._list import PromptList
from tuner.prompts._pools import enough

__all__ = ["PromptData", "PromptFile", "PromptList", "PromptSet", "enough", "listed", "prompt_set"]


class PromptSet(Protocol):
    """A source of prompts."""

    name: str

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """The first prompts of a pool: at least `count`, and up to `most` where the pool has more.

        Args:
            count: the number of prompts that are needed.
            pool: 'search' or 'verify'; a set may have further pools ('truth').
            most: the maximum number of prompts; exactly `count` are returned when None.

        Raises:
            UsageError: the set cannot be read, or the pool has fewer than `count` prompts.
        """


def prompt_set(name: str | Sequence[str]) -> PromptSet:
    """The prompts of this name, or of a list.

    Args:
        name: of a known set, whose case and punctuation do not matter; or a text file; or a CSV,
            TSV or JSONL file and its column, 'captions.csv:caption'; or a data set of the hub or of
            a folder with its split and column, 'ID:SPLIT:COLUMN', or 'ID:CONFIG:SPLIT:COLUMN'; or
            the prompts themselves as a list.

    Raises:
        UsageError: `name` is none of these; the message lists the sets.
    """
    if not isinstance(name, str):
        return PromptList(name)
    known = registry.components("prompts")
    for key, component in known.items():
        if registry.plain(key) == registry.plain(name):
            chosen: PromptSet = component
            return chosen
    if is_file(name):
        return PromptFile(Path(name))
    file, _, column = name.rpartition(":")
    if Path(file).suffix.lower() in TABLES and column:
        return PromptFile(Path(file), column)
    parts = name.split(":")
    if len(parts) in (3, 4) and all(parts):
        return PromptData(parts[0], *parts[-2:], config=parts[1] if len(parts) == 4 else None)
    if "/" not in name and "." not in name:
        raise UsageError(
            f"unknown prompt set {name!r}; known: {', '.join(known)}; or a text file, "
            "FILE.csv:COLUMN, FILE.jsonl:COLUMN, or a data set as ID:SPLIT:COLUMN"
        )
    return PromptFile(Path(name))


def listed(prompts: PromptSet) -> PromptList | None:
    """The whole list of prompts, if they come from a list or a file; None for other sets."""
    if isinstance(prompts, PromptFile):
        return prompts.as_list()
    return prompts if isinstance(prompts, PromptList) else None
