"""Numeric features of a plan, from which models of speed and quality can learn with few trials.

The latency of a step is nearly linear in the work that it does, which `step_rows` counts. The score
loss depends smoothly on how much is reused, how old it is and how early in the generation, which
`reuse` counts. Both depend on the plan alone, so a new accelerator needs no change here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tuner.plans.plan import Plan

_EARLY = 1 / 3  # share of the steps, from the first on, that decide what the picture shows
PARTS = 20  # into which `Reuse.course` divides a generation


def step_rows(plan: Plan) -> np.ndarray:
    """The work of each step, shape (steps, kinds of work), in which latency is nearly linear.

    Work is counted in pictures: a guided step computes two for each picture. The columns are: a
    constant 1; one column for each branch at which a pass may turn back, and one for the full pass;
    for each resolution of tokens four columns: self-attentions by the share of tokens that remain
    after merging, the same with that share squared, merges, and cross-attentions; two columns for
    what each layer costs however many pictures it computes: how deep the pass goes, and the share
    of the attentions that it computes; and one for a full pass that keeps features for a shallow
    pass after it.
    """
    layers, branches, count = plan.shape.layers, plan.shape.branches, len(plan.steps)
    levels = sorted({layer.downsample for layer in layers})
    rows = np.zeros((count, 2 + branches + 4 * len(levels) + 3))
    pictures = np.array([2.0 if step.guided else 1.0 for step in plan.steps])
    entered = np.array([branches if s.entered is None else s.entered for s in plan.steps], int)
    # No shallow pass comes after the last step.
    shallow = np.array([*(step.entered is not None for step in plan.steps), False])
    rows[:, 0] = 1.0
    rows[np.arange(count), 1 + entered] = pictures
    computed = _computed([step.self_source for step in plan.steps])
    crossed = _computed([step.cross_source for step in plan.steps])
    downsample = np.array([layer.downsample for layer in layers], int)
    tokens = np.array([_tokens(plan, layer.downsample) for layer in layers])
    merged = np.array(plan.merged, float)
    remaining = 1 - merged / tokens
    for place, level in enumerate(levels):
        first, here = 2 + branches + 4 * place, downsample == level
        rows[:, first] = pictures * (computed @ (here * remaining))
        rows[:, first + 1] = pictures * (computed @ (here * remaining**2))
        rows[:, first + 2] = pictures * (computed @ (here * (merged > 0)))
        rows[:, first + 3] = pictures * (crossed @ here)
    rows[:, -3] = (1 + entered) / (1 + branches)
    rows[:, -2] = (computed.sum(axis=1) + crossed.sum(axis=1)) / (2 * max(1, len(layers)))
    rows[:, -1] = ~shallow[:-1] & shallow[1:]
    return rows


def _computed(sources: Sequence[Sequence[int | None]]) -> np.ndarray:
    """Whether each step computes a layer's output itself, shape (steps, layers), as 0 or 1."""
    source = np.array(sources, float)  # NaN where a layer does not run
    computed: np.ndarray = (source == np.arange(len(source))[:, None]).astype(float)
    return computed


class Reuse(NamedTuple):
    """How much of a generation is reused; the lengths are equal for all plans of the same shape."""

    # Means over the steps, most of them separately for the early third and for the rest. The ages
    # of reused outputs count logarithmically: log2(1 + steps).
    summary: np.ndarray
    # For each kind of reuse, its mean over each of `PARTS` equal parts of the generation, whatever
    # the number of steps. It distinguishes schedules that have the same summary.
    course: np.ndarray


def reuse(plan: Plan) -> Reuse:
    """How much of a generation is reused, how old it is and how early."""
    kinds = _by_step(plan)
    unguided, deep, depth, self_ages, cross_ages, *merged = kinds
    count = len(plan.steps)
    early = np.arange(count) < count * _EARLY
    guided = unguided == 0
    summary = np.array(
        [
            unguided.mean(),
            *(part.mean() for part in (deep[early], deep[~early])),
            *(part.mean() for part in (depth[early], depth[~early])),
            self_ages[early].sum() / count,
            self_ages[~early & guided].sum() / count,
            self_ages[~guided].sum() / count,
            cross_ages.mean(),
            *(part.mean() for part in merged),
        ]
    )
    ends = np.linspace(0, count, PARTS + 1)
    sums = np.cumsum(np.pad(kinds, ((0, 0), (1, 0))), axis=1)
    parts = [np.diff(np.interp(ends, np.arange(count + 1), total)) for total in sums]
    return Reuse(summary=summary, course=np.concatenate(parts) * PARTS / count)


def _by_step(plan: Plan) -> np.ndarray:
    """Each kind of reuse by step, shape (kinds, steps).

    The kinds: whether guidance is off; the age of the deep features; how shallow the pass is; the
    mean ages of self-attentions and of cross-attentions; and for each resolution of tokens the
    share that is merged.
    """
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
    self_ages = _ages([step.self_source for step in plan.steps])
    cross_ages = _ages([step.cross_source for step in plan.steps])
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
    constant = [np.full(count, share) for share in merged]
    return np.vstack([unguided, deep, depth, self_ages, cross_ages, *constant])


def _ages(sources: Sequence[Sequence[int | None]]) -> np.ndarray:
    """By step: the mean age of the outputs that the layers which run use, as log2(1 + steps)."""
    source = np.array(sources, float)  # shape (steps, layers); NaN where a layer does not run
    ages = np.log2(1 + np.arange(len(source))[:, None] - source)
    runs = np.maximum(1, np.isfinite(ages).sum(axis=1))
    means: np.ndarray = np.nansum(ages, axis=1) / runs
    return means


def _tokens(plan: Plan, downsample: int) -> int:
    """How many tokens a layer of this downsampling has."""
    return -(-plan.shape.height // downsample) * -(-plan.shape.width // downsample)
