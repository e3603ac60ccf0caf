"""The contract of a prompt set; each file beside this one is one."""

from typing import Protocol

from tuner.errors import UsageError


class PromptSet(Protocol):
    """Where prompts come from."""

    name: str

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """The first `count` prompts of a pool ('search' or 'verify'; 'truth' where there is one).

        With `most`, as many more as the pool has, up to so many in all.

        Raises `UsageError` where the set cannot be read or has fewer.
        """


def enough(prompts: list[str], count: int, place: str, most: int | None = None) -> list[str]:
    """The first `count` prompts, up to `most`, or a `UsageError` that says how many there are."""
    if len(prompts) < count:
        raise UsageError(f"{place} has {len(prompts)} prompts, {count} were asked for")
    return prompts[: max(count, most or 0)]
