"""Prompts from a text file of the user's, and choosing between files and known sets."""

from pathlib import Path

from tuner import registry
from tuner.errors import UsageError
from tuner.prompts import PromptSet, enough


class PromptFile:
    """One prompt a line; empty lines are skipped.

    Lines end with a line feed, with or without a carriage return before it. Other characters that
    break lines stay within their prompt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """The first `count` prompts and up to `most`.

        Searching has the first prompt, the third and so on, verifying those between, where half of
        the file is enough; else both have all of it. So a prompt stays where it is when lines are
        added at the end.
        """
        try:
            lines = self.path.read_bytes().decode("utf-8-sig").split("\n")
        except OSError as error:
            raise UsageError(
                f"cannot read the prompt file {self.path}: {error.strerror}"
            ) from error
        except UnicodeDecodeError as error:
            raise UsageError(f"the prompt file {self.path} is not UTF-8 text") from error
        except ValueError as error:  # a name that no file can have
            raise UsageError(f"cannot read the prompt file {str(self.path)!r}: {error}") from error
        prompts = [line.strip() for line in lines if line.strip()]
        if not prompts:
            raise UsageError(f"the prompt file {self.path} is empty; write one prompt a line")
        if len(prompts) // 2 >= count:
            prompts = prompts[0 if pool == "search" else 1 :: 2]
        return enough(prompts, count, f"the prompt file {self.path}", most)


def prompt_set(name: str) -> PromptSet:
    """A known set by its name, or else a text file."""
    known = registry.components("prompts")
    for key, found in known.items():
        if registry.plain(key) == registry.plain(name):
            chosen: PromptSet = found
            return chosen
    if not Path(name).exists() and "/" not in name and "." not in name:
        raise UsageError(f"unknown prompt set {name!r}; known: {', '.join(known)}, or a text file")
    return PromptFile(Path(name))
