"""Dividing prompts between searching and verifying, and the check that there are enough."""

from tuner.errors import UsageError


def pool_of(prompts: list[str], count: int, pool: str) -> list[str]:
    """The prompts of a pool.

    'search' has the first, third, fifth, … prompt and 'verify' has the others, if half of the
    prompts are at least `count`; otherwise both pools have all of them. Prompts that are added at
    the end thus move no prompt to the other pool.
    """
    if len(prompts) // 2 < count:
        return prompts
    return prompts[0 if pool == "search" else 1 :: 2]


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
