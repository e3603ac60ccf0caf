"""Which settings are the same computation, and a canonical form of each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

from tuner.accelerators import Accelerator
from tuner.plans.plan import Shape, plan_of
from tuner.setting import Setting

Canonical = Callable[[Setting], Setting]  # maps all settings of one computation to the same setting


def computation_of(setting: Setting, shape: Shape, steps: int) -> tuple[Any, ...]:
    """A key that is equal for two settings exactly when they are the same computation.

    Args:
        setting: the accelerators with their knobs.
        shape: the shape of the denoiser.
        steps: the number of denoising steps.
    """
    return plan_of(setting.accelerators, _one_layer_of_each_kind(shape), steps).computation


def canonical(setting: Setting, shape: Shape, steps: int) -> Setting:
    """The setting of the same computation with the smallest knob values.

    Accelerators that change nothing are left out. The values are the smallest among those that a
    search tries; a value that no search tries stays as it is. The arguments are those of
    `computation_of`.
    """
    parts: list[Accelerator | None] = list(setting.accelerators)
    for place, part in enumerate(setting.accelerators):
        equivalents = _equivalents(part, shape, steps)
        if len(parts) == 1:
            parts = [equivalents[0]]
            continue
        # Next to another accelerator a layer may not run at every step. So two settings that
        # compute the same alone need not do so in a combination.
        smaller = equivalents[: equivalents.index(part)] if part in equivalents else equivalents
        if not smaller:
            continue
        computation = computation_of(_combined(parts), shape, steps)
        for equivalent in smaller:
            candidate = [*parts[:place], equivalent, *parts[place + 1 :]]
            if computation_of(_combined(candidate), shape, steps) == computation:
                parts = candidate
                break
    return _combined(parts)


def _combined(parts: Sequence[Accelerator | None]) -> Setting:
    return Setting(accelerators=tuple(part for part in parts if part is not None))


def _equivalents(part: Accelerator, shape: Shape, steps: int) -> Sequence[Accelerator | None]:
    """What computes the same as `part` does alone, smallest first; [None] if that is nothing."""
    effect = _effect_alone(part, shape, steps)
    if effect == (_baseline(shape, steps), frozenset()):
        return [None]
    return _by_effect(type(part), shape, steps).get(effect, [part])


@lru_cache(maxsize=64)
def _by_effect(
    kind: type[Accelerator], shape: Shape, steps: int
) -> dict[tuple[Any, ...], list[Accelerator]]:
    """All settings of an accelerator that a search tries, grouped by what they compute."""
    knobs = kind.knobs()
    groups: dict[tuple[Any, ...], list[Accelerator]] = {}
    for values in product(*(sorted(knob.values) for knob in knobs)):
        part = kind.from_values({knob.name: v for knob, v in zip(knobs, values, strict=True)})
        groups.setdefault(_effect_alone(part, shape, steps), []).append(part)
    return groups


@lru_cache(maxsize=64)
def _baseline(shape: Shape, steps: int) -> tuple[Any, ...]:
    """What the baseline computes."""
    return computation_of(Setting(), shape, steps)


@lru_cache(maxsize=4096)
def _effect_alone(part: Accelerator, shape: Shape, steps: int) -> tuple[Any, ...]:
    """What an accelerator computes on its own, and the steps at which it forces full passes."""
    plan = plan_of((part,), _one_layer_of_each_kind(shape), steps)
    return plan.computation, plan.full_steps


@lru_cache(maxsize=64)
def _one_layer_of_each_kind(shape: Shape) -> Shape:
    """The same shape with equal layers listed once: a plan treats equal layers the same way."""
    return replace(shape, layers=tuple(dict.fromkeys(shape.layers)))
