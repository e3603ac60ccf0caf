"""Batches of prompts, and the order in which a setting is measured on them."""

import random


def split(start: int, stop: int, size: int) -> list[range]:
    """The numbers from `start` to `stop`, batch by batch; only the last may be smaller."""
    return [range(first, min(first + size, stop)) for first in range(start, stop, size)]


def shuffled(
    first: list[range], more: list[range], rng: random.Random, *, drawn: bool
) -> list[range]:
    """Batches in a random order, so that each prefix is a random sample: `first`, then `more`.

    A smaller batch comes last in its list, because only full batches are timed. With `drawn`, as
    many batches as `first` has are drawn and come first: from `first`, and from as many of `more`,
    so that the baseline of few prompts is needed. Batch 0 is always among them, so that all
    settings have some prompts in common, whose pictures can be compared.
    """
    size = len(first[0])
    (full, short), (more_full, more_short) = (_by_size(batches, size) for batches in (first, more))
    if drawn:
        others, rest = [*full[1:], *more_full[: len(full)]], more_full[len(full) :]
        rng.shuffle(others)
        full, more_full = [full[0], *others[: len(full) - 1]], [*others[len(full) - 1 :], *rest]
    rng.shuffle(full)
    return [*full, *short, *more_full, *more_short]


def _by_size(batches: list[range], size: int) -> tuple[list[range], list[range]]:
    """The batches of this size, and the others."""
    return (
        [batch for batch in batches if len(batch) == size],
        [batch for batch in batches if len(batch) != size],
    )
