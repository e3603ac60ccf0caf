"""Prompts from a user's text file, and the check that a source has enough of them."""

from pathlib import Path

from tuner.errors import UsageError


class PromptFile:
    """A text file with one prompt a line; empty lines are skipped.

    Lines end with a line feed, with or without a carriage return before it. Other Unicode line
    breaks are part of their prompt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """At least `count` and up to `most` prompts; see `PromptSet.load`.

        The pool 'search' has the first, third, fifth, … prompt of the file and the pool 'verify'
        has the others, if half of the file has `count` prompts; otherwise both pools are the whole
        file. Lines that are added at the end thus move no prompt to the other pool.
        """
        try:
            lines = self.path.read_bytes().decode("utf-8-sig").split("\n")
        except OSError as error:
            raise UsageError(
                f"cannot read the prompt file {self.path}: {error.strerror}"
            ) from error
        except UnicodeDecodeError as error:
            raise UsageError(f"the prompt file {self.path} is not UTF-8 text") from error
        except ValueError as error:  # a path that no file can have, such as one with a NUL byte
            raise UsageError(f"cannot read the prompt file {str(self.path)!r}: {error}") from error
        prompts = [line.strip() for line in lines if line.strip()]
        if not prompts:
            raise UsageError(f"the prompt file {self.path} is empty; write one prompt a line")
        if len(prompts) // 2 >= count:
            prompts = prompts[0 if pool == "search" else 1 :: 2]
        return enough(prompts, count, f"the prompt file {self.path}", most)


def enough(prompts: list[str], count: int, source: str, most: int | None = None) -> list[str]:
    """The first of the prompts: at least `count`, and up to `most` where there are more.

    Raises:
        UsageError: there are fewer than `count`; the message names `source` and their number.
    """
    if len(prompts) < count:
        raise UsageError(
            f"{source} has {len(prompts)} prompts, but num_samples is {count}; lower num_samples",
            key=("num_samples",),
        )
    return prompts[: max(count, most or 0)]
