"""The contract of a prompt set; each other file of this folder is one prompt set.

`prompt_set` finds one by its name. Files that begin with an underscore are helpers.
"""

from pathlib import Path
from typing import Protocol

from tuner import registry
from tuner.errors import UsageError
from tuner.prompts._file import PromptFile, enough

__all__ = ["PromptFile", "PromptSet", "enough", "prompt_set"]


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


def prompt_set(name: str) -> PromptSet:
    """A prompt set by its name, or else the text file of this path.

    Case and punctuation of a name do not matter.

    Raises:
        UsageError: `name` is neither a known set nor looks like a path; the message lists the sets.
    """
    known = registry.components("prompts")
    for key, component in known.items():
        if registry.plain(key) == registry.plain(name):
            chosen: PromptSet = component
            return chosen
    if not Path(name).exists() and "/" not in name and "." not in name:
        raise UsageError(f"unknown prompt set {name!r}; known: {', '.join(known)}, or a text file")
    return PromptFile(Path(name))
