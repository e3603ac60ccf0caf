"""The settings that a search may propose, no two of them the same computation."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from tuner.accelerators import Accelerator
from tuner.canonical import Canonical
from tuner.search.space import Space
from tuner.setting import Setting

MOST = 2000  # candidates that are looked at together; a larger space is sampled


class Candidates:
    """The distinct settings of a space: all of them, or a sample and what lies around the best."""

    def __init__(self, space: Space, canonical: Canonical, seed: int | None = None) -> None:
        """`canonical` gives one setting for all that are the same computation."""
        self._space = space
        self._canonical = canonical
        alone = [self._distinct(kind) for kind, _ in space.parts]
        parts = [[self._own(one) for one in found] for found in alone]
        self.count = int(np.prod([1 + len(found) for found in parts])) - 1
        good = [canonical(one) for one in space.known_good()]
        if self.count <= 4 * MOST:
            found = [_together(chosen) for chosen in product(*([None, *part] for part in parts))]
        else:
            found = [*good, *self._sample(parts, np.random.default_rng(seed))]
        some = [one for one in found if one is not None and one.accelerators]
        if parts != alone:  # values that are the least alone are not offered
            some = [one for one in map(canonical, some) if one.accelerators]
        self.settings: list[Setting] = list(dict.fromkeys(some))
        self.complete = self.count <= 4 * MOST

    def around(self, setting: Setting) -> list[Setting]:
        """What differs from a setting by one notch of one knob, on or off included."""
        flat = self._space.flat(setting)
        found = []
        for name, values in self._space.offered().items():
            place = values.index(flat[name])
            for near in (place - 1, place + 1):
                if 0 <= near < len(values):
                    changed = self._space.setting(flat | {name: values[near]})
                    found.append(self._canonical(changed))
        return [one for one in dict.fromkeys(found) if one.accelerators and one != setting]

    def _distinct(self, kind: type[Accelerator]) -> list[Accelerator]:
        """What an accelerator can do on its own."""
        alone = (self._canonical(Setting(accelerators=(one,))) for one in self._space.each(kind))
        return list(dict.fromkeys(part for one in alone for part in one.accelerators))

    def _own(self, part: Accelerator) -> Accelerator:
        """The same alone in values that the space offers."""
        own = self._space.own(Setting(accelerators=(part,)))
        return part if own is None else own.accelerators[0]

    def _sample(
        self, parts: Sequence[Sequence[Accelerator]], random: np.random.Generator
    ) -> list[Setting | None]:
        """Each combination of accelerators as often as the others; small ones whole."""
        groups = [
            chosen for count in range(1, len(parts) + 1) for chosen in combinations(parts, count)
        ]
        found: list[Setting | None] = []
        for chosen in groups:
            if np.prod([len(part) for part in chosen]) <= MOST // len(groups):
                found += [_together(one) for one in product(*chosen)]
            else:
                found += [
                    _together([part[int(random.integers(len(part)))] for part in chosen])
                    for _ in range(MOST // len(groups))
                ]
        return found


def _together(parts: Sequence[Accelerator | None]) -> Setting | None:
    """The setting of these parts; None where two occupy the same part of the model."""
    on = tuple(part for part in parts if part is not None)
    if any(one.occupies & other.occupies for one, other in combinations(on, 2)):
        return None
    return Setting(accelerators=tuple(sorted(on, key=lambda part: part.order)))
