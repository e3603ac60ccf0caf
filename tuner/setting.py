"""A setting: values for every accelerator's knobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, product
from typing import Any

from tuner import registry
from tuner.accelerators import Accelerator, Value
from tuner.errors import UsageError
from tuner.plans.plan import Shape, plan_of

Params = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The accelerators that are on, each with its knobs; empty is the baseline."""

    accelerators: tuple[Accelerator, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two accelerators that occupy the same part of the model."""
        for one, other in combinations(self.accelerators, 2):
            shared = one.occupies & other.occupies
            if shared or one.name == other.name:
                raise UsageError(
                    f"{one.name} and {other.name} cannot be combined: "
                    f"both occupy {', '.join(sorted(shared)) or 'the same name'}"
                )

    @classmethod
    def of(cls, params: Params) -> "Setting":
        """From accelerator → knob → value; a `UsageError` names what is unknown or missing."""
        known = registry.components("accelerators")
        parts = [
            registry.pick("accelerator", name, known).from_values(dict(values))
            for name, values in params.items()
        ]
        return cls(accelerators=tuple(sorted(parts, key=lambda part: part.order)))

    @property
    def params(self) -> dict[str, dict[str, Value]]:
        """Accelerator → knob → value, as `search_params.json` writes it."""
        return {part.name: part.values() for part in self.accelerators}

    @property
    def combination(self) -> str:
        """The names of the accelerators that are on: 'deepcache+tome', or 'baseline'."""
        return "+".join(part.name for part in self.accelerators) or "baseline"

    def __str__(self) -> str:
        """Short, for people: 'deepcache 3/0 + tgate 10/5/1/2'."""
        parts = [
            f"{part.name} {'/'.join(f'{value:g}' for value in part.values().values())}"
            for part in self.accelerators
        ]
        return " + ".join(parts) or "baseline"


Canonical = Callable[[Setting], Setting]  # gives one setting for all that are the same computation


def identity(setting: Setting, shape: Shape, steps: int) -> tuple[Any, ...]:
    """Equal for settings that are the same computation on this model and number of steps."""
    return plan_of(setting.accelerators, _few_layers(shape), steps).identity


def canonical(setting: Setting, shape: Shape, steps: int) -> Setting:
    """The same computation in the least knob values; accelerators that do nothing are left out.

    Values are the least among those that a search tries; others stay as they are.
    """
    found: list[Accelerator | None] = list(setting.accelerators)
    for place, part in enumerate(setting.accelerators):
        alike = _alike(part, shape, steps)
        if len(found) == 1:
            found = [alike[0]]
            continue
        # Beside another accelerator a layer may not run at every step: what is the same alone then
        # need not be.
        before = identity(_together(found), shape, steps)
        for least in alike:
            tried = [*found[:place], least, *found[place + 1 :]]
            if identity(_together(tried), shape, steps) == before:
                found = tried
                break
    return _together(found)


def _together(parts: Sequence[Accelerator | None]) -> Setting:
    return Setting(accelerators=tuple(part for part in parts if part is not None))


def _alike(part: Accelerator, shape: Shape, steps: int) -> Sequence[Accelerator | None]:
    """What computes the same alone, the least first; None stands for leaving it out."""
    alone = _alone(part, shape, steps)
    if alone == (plan_of((), _few_layers(shape), steps).identity, frozenset()):
        return [None]
    return _classes(type(part), shape, steps).get(alone, [part])


@lru_cache(maxsize=64)
def _classes(
    kind: type[Accelerator], shape: Shape, steps: int
) -> dict[tuple[Any, ...], list[Accelerator]]:
    knobs = kind.knobs()
    found: dict[tuple[Any, ...], list[Accelerator]] = {}
    for values in product(*(sorted(knob.values) for knob in knobs)):
        part = kind.from_values({knob.name: v for knob, v in zip(knobs, values, strict=True)})
        found.setdefault(_alone(part, shape, steps), []).append(part)
    return found


def _alone(part: Accelerator, shape: Shape, steps: int) -> tuple[Any, ...]:
    """What a part computes on its own, and the steps at which it makes the others compute."""
    plan = plan_of((part,), _few_layers(shape), steps)
    return plan.identity, plan.full_steps


@lru_cache(maxsize=64)
def _few_layers(shape: Shape) -> Shape:
    """One layer of each kind: layers of a kind are treated alike."""
    return replace(shape, layers=tuple(dict.fromkeys(shape.layers)))
