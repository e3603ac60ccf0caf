"""Prompts that are given as a list."""

from collections.abc import Sequence

from tuner.errors import UsageError
from tuner.prompts._pools import enough, places_of

LONGEST = 10_000  # characters of a prompt; the longest that any model reads has 512 tokens


class PromptList:
    """All prompts of a list; both pools are chosen from it by `places_of`."""

    def __init__(self, prompts: Sequence[str], name: str = "the list of prompts") -> None:
        """`name`: what messages call the list. A prompt that is too long is a `UsageError`."""
        self.name = name
        self.prompts = list(prompts)
        for number, prompt in enumerate(self.prompts, 1):
            if len(prompt) > LONGEST:
                raise UsageError(
                    f"prompt {number} of {name} has {len(prompt):,} characters, but at most "
                    f"{LONGEST:,} are read; shorten it"
                )

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """At least `count` and up to `most` prompts; see `PromptSet.load`."""
        return [self.prompts[place] for place in self.places(count, pool, most)]

    def places(self, count: int, pool: str = "search", most: int | None = None) -> list[int]:
        """The places in the list of the prompts that `load` returns; arguments and errors alike."""
        return enough(places_of(len(self.prompts), count, pool), count, self.name, most)
