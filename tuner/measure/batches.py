"""Batches of prompts, and in which order a setting is measured on them."""

import random


def split(start: int, stop: int, size: int) -> list[range]:
    """The numbers from `start` to `stop`, batch by batch; only the last may be smaller."""
    return [range(first, min(first + size, stop)) for first in range(start, stop, size)]


def in_order(
    own: list[range], further: list[range], rng: random.Random, *, drawn: bool
) -> list[range]:
    """Batches in a random order, so that the first ones stand for all: `own`, then `further` ones.

    One that is smaller comes last of its kind: latencies are those of full batches. Where they are
    `drawn`, as many as there are of `own` are drawn from all; the first of `own` always is among
    them, for its pictures.
    """
    (full, short), (more, last) = (_by_size(found, len(own[0])) for found in (own, further))
    if drawn:
        others = [*full[1:], *more]
        rng.shuffle(others)
        full, more = [full[0], *others[: len(full) - 1]], others[len(full) - 1 :]
    rng.shuffle(full)
    return [*full, *short, *more, *last]


def _by_size(batches: list[range], size: int) -> tuple[list[range], list[range]]:
    """Those of this size, and the others."""
    return (
        [one for one in batches if len(one) == size],
        [one for one in batches if len(one) != size],
    )
