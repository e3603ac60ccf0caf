"""What of a plan decides its latency, and what its quality: plain numbers for learning from few.

A step's latency is nearly linear in the work that it does; `step_rows` counts that work. How much
a picture loses depends smoothly on what is reused, how old it is and how early: `reuse` counts
that. Neither knows the accelerators, so that one more needs nothing here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tuner.plans.plan import Plan

_EARLY = 1 / 3  # of the steps: they decide what the picture shows
PARTS = 20  # of a generation, in `Reuse.course`


def step_rows(plan: Plan) -> np.ndarray:
    """The work of each step, shape (steps, kinds of work); a latency is linear in it.

    Each kind is counted in pictures: a guided step computes two for one. The columns: one for the
    step itself; one for each depth that a pass may turn back at, and for the full pass; and for
    each resolution of tokens: self-attentions by the tokens that are left, the same squared,
    merges, and cross-attentions.
    """
    levels = sorted({layer.downsample for layer in plan.shape.layers})
    rows = np.zeros((len(plan.steps), 2 + plan.shape.branches + 4 * len(levels)))
    for row, (number, step) in zip(rows, enumerate(plan.steps), strict=True):
        pictures = 2.0 if step.guided else 1.0
        row[0] = 1.0
        row[1 + (plan.shape.branches if step.entered is None else step.entered)] = pictures
        for index, layer in enumerate(plan.shape.layers):
            first = 2 + plan.shape.branches + 4 * levels.index(layer.downsample)
            if step.self_source[index] == number:
                left = 1 - plan.merged[index] / _tokens(plan, layer.downsample)
                row[first] += pictures * left
                row[first + 1] += pictures * left**2
                row[first + 2] += pictures * (plan.merged[index] > 0)
            if step.cross_source[index] == number:
                row[first + 3] += pictures
    return rows


class Reuse(NamedTuple):
    """What is reused: a point for a smooth model. The lengths are the same for plans of a shape."""

    # Shares and mean ages over the steps, each for the early third and for the rest; ages count
    # steps and grow like their logarithm.
    summary: np.ndarray
    # Each kind of reuse in turn, as its mean over each of `PARTS` equal parts of the generation,
    # whatever the number of steps: schedules that sum up alike may differ in it.
    course: np.ndarray


def reuse(plan: Plan) -> Reuse:
    """How much of a generation is reused, how old it is and how early; in sum, and when."""
    kinds = _by_step(plan)
    unguided, deep, depth, own, cross, *merged = kinds
    count = len(plan.steps)
    early = np.arange(count) < count * _EARLY
    guided = unguided == 0
    summary = np.array(
        [
            unguided.mean(),
            *(part.mean() for part in (deep[early], deep[~early])),
            *(part.mean() for part in (depth[early], depth[~early])),
            *(part.sum() / count for part in (own[early], own[~early & guided], own[~guided])),
            cross.mean(),
            *(part.mean() for part in merged),
        ]
    )
    ends = np.linspace(0, count, PARTS + 1)
    sums = np.cumsum(np.pad(kinds, ((0, 0), (1, 0))), axis=1)
    parts = [np.diff(np.interp(ends, np.arange(count + 1), one)) for one in sums]
    return Reuse(summary=summary, course=np.concatenate(parts) * PARTS / count)


def _by_step(plan: Plan) -> np.ndarray:
    """Each kind of reuse by step: shape (kinds, steps)."""
    count = len(plan.steps)
    unguided = np.array([not step.guided for step in plan.steps], float)
    deep, depth = np.zeros(count), np.zeros(count)
    full = 0
    for number, step in enumerate(plan.steps):
        if step.entered is None:
            full = number
        else:
            deep[number] = np.log2(1 + number - full)
            depth[number] = 1 / (1 + step.entered)
    own = _ages([step.self_source for step in plan.steps])
    cross = _ages([step.cross_source for step in plan.steps])
    levels = sorted({layer.downsample for layer in plan.shape.layers})
    merged = [
        np.mean(
            [
                plan.merged[index] / _tokens(plan, level)
                for index, layer in enumerate(plan.shape.layers)
                if layer.downsample == level
            ]
        )
        for level in levels
    ]
    return np.vstack([unguided, deep, depth, own, cross, *(np.full(count, one) for one in merged)])


def _ages(sources: Sequence[Sequence[int | None]]) -> np.ndarray:
    """By step: the mean age of what the layers that run take from earlier steps."""
    taken = np.array(sources, float)  # shape (steps, layers); NaN where a layer does not run
    ages = np.log2(1 + np.arange(len(taken))[:, None] - taken)
    runs = np.maximum(1, np.isfinite(ages).sum(axis=1))
    found: np.ndarray = np.nansum(ages, axis=1) / runs
    return found


def _tokens(plan: Plan, downsample: int) -> int:
    return -(-plan.shape.height // downsample) * -(-plan.shape.width // downsample)
