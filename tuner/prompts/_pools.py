"""Dividing prompts between searching and verifying, and the check that there are enough."""

from typing import TypeVar

from tuner.errors import UsageError

Item = TypeVar("Item")


def places_of(total: int, count: int, pool: str) -> list[int]:
    """The places of a pool's prompts in a list of `total` prompts.

    'search' has the first, third, fifth, … prompt and 'verify' has the others, if half of the
    prompts are at least `count`; otherwise both pools have all of them. Prompts that are added at
    the end thus move no prompt to the other pool.
    """
    if total // 2 < count:
        return list(range(total))
    return list(range(0 if pool == "search" else 1, total, 2))


def pool_of(prompts: list[str], count: int, pool: str) -> list[str]:
    """The prompts of a pool; see `places_of`."""
    return [prompts[place] for place in places_of(len(prompts), count, pool)]


def enough(prompts: list[Item], count: int, source: str, most: int | None = None) -> list[Item]:
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
