"""A setting: values for every accelerator's knobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from tuner import registry
from tuner.accelerators import Accelerator, Value
from tuner.errors import UsageError

Params = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The accelerators that are on, each with its knobs; the empty setting is the baseline."""

    accelerators: tuple[Accelerator, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two accelerators that occupy the same part of the model."""
        for first, second in combinations(self.accelerators, 2):
            shared = first.occupies & second.occupies
            if shared or first.name == second.name:
                raise UsageError(
                    f"{first.name} and {second.name} cannot be combined: "
                    f"both change {', '.join(sorted(shared))}"
                    if shared
                    else f"{first.name} is named twice"
                )

    def __hash__(self) -> int:
        """Computed once: a search looks up the settings of all trials again and again."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Whether the same accelerators are on, with the same values."""
        if self is other:
            return True
        if not isinstance(other, Setting):
            return NotImplemented
        return self._hash == other._hash and self.accelerators == other.accelerators

    @cached_property
    def _hash(self) -> int:
        return hash(self.accelerators)

    @classmethod
    def of(cls, params: Params) -> "Setting":
        """A setting from accelerator → knob → value.

        Raises:
            UsageError: an accelerator or a knob is unknown, or a knob is missing; the message
                names it.
        """
        known = registry.components("accelerators")
        parts = [
            registry.pick("accelerator", name, known).from_values(dict(values))
            for name, values in params.items()
        ]
        return cls(accelerators=tuple(sorted(parts, key=lambda part: part.order)))

    @property
    def params(self) -> dict[str, dict[str, Value]]:
        """Accelerator → knob → value, as `search_params.json` stores it."""
        return {part.name: part.values() for part in self.accelerators}

    @cached_property
    def combination(self) -> str:
        """The names of the accelerators that are on: 'deepcache+tome', or 'baseline'."""
        return "+".join(part.name for part in self.accelerators) or "baseline"

    def __str__(self) -> str:
        """A short form for people: 'deepcache 3/0 + tgate 10/5/1/2'."""
        parts = [
            f"{part.name} {'/'.join(f'{value:g}' for value in part.values().values())}"
            for part in self.accelerators
        ]
        return " + ".join(parts) or "baseline"
