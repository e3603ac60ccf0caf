"""The settings that a search may propose, no two of them the same computation."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from tuner.accelerators import Accelerator
from tuner.canonical import Canonical
from tuner.search.space import Space
from tuner.setting import Setting

SAMPLE = 2000  # settings that are drawn of a space with more than `4 * SAMPLE`


class Candidates:
    """The distinct settings of a space: all of them, or a sample of a large space.

    `settings` are the candidates; `complete` is whether they are all; `count` is how many settings
    the space has, with each accelerator's distinct values combined.
    """

    def __init__(self, space: Space, canonical: Canonical, seed: int | None = None) -> None:
        """`canonical` returns the same setting for all that are the same computation."""
        self._space = space
        self._canonical = canonical
        distinct = [self._distinct(kind) for kind, _ in space.parts]
        offered = [[self._offered(part) for part in parts] for parts in distinct]
        self.count = int(np.prod([1 + len(parts) for parts in offered])) - 1
        self.complete = self.count <= 4 * SAMPLE
        known_good = [canonical(setting) for setting in space.known_good()]
        combined: list[Setting | None]
        if self.complete:
            every = product(*([None, *parts] for parts in offered))
            combined = [_combined(parts) for parts in every]
        else:
            combined = [*known_good, *self._sample(offered, np.random.default_rng(seed))]
        settings = [setting for setting in combined if setting is not None and setting.accelerators]
        if offered != distinct:  # some canonical values are not offered
            settings = [setting for setting in map(canonical, settings) if setting.accelerators]
        self.settings: list[Setting] = list(dict.fromkeys(settings))

    def neighbours(self, setting: Setting) -> list[Setting]:
        """The settings that differ in one knob, by the next value on either side or "off"."""
        flat = self._space.flat(setting)
        changed = []
        for name, values in self._space.offered().items():
            place = values.index(flat[name])
            for near in (place - 1, place + 1):
                if 0 <= near < len(values):
                    neighbour = self._space.setting(flat | {name: values[near]})
                    changed.append(self._canonical(neighbour))
        return [
            neighbour
            for neighbour in dict.fromkeys(changed)
            if neighbour.accelerators and neighbour != setting
        ]

    def _distinct(self, kind: type[Accelerator]) -> list[Accelerator]:
        """The distinct computations of an accelerator on its own, in canonical form."""
        alone = (
            self._canonical(Setting(accelerators=(part,))) for part in self._space.variants(kind)
        )
        return list(dict.fromkeys(part for setting in alone for part in setting.accelerators))

    def _offered(self, part: Accelerator) -> Accelerator:
        """The same computation in values that the space offers."""
        setting = self._space.equivalent(Setting(accelerators=(part,)))
        return part if setting is None else setting.accelerators[0]

    def _sample(
        self, parts: Sequence[Sequence[Accelerator]], rng: np.random.Generator
    ) -> list[Setting | None]:
        """As many settings of each combination of accelerators; small ones in full."""
        groups = [
            group for count in range(1, len(parts) + 1) for group in combinations(parts, count)
        ]
        sample: list[Setting | None] = []
        for group in groups:
            if np.prod([len(part) for part in group]) <= SAMPLE // len(groups):
                sample += [_combined(chosen) for chosen in product(*group)]
            else:
                sample += [
                    _combined([part[int(rng.integers(len(part)))] for part in group])
                    for _ in range(SAMPLE // len(groups))
                ]
        return sample


def _combined(parts: Sequence[Accelerator | None]) -> Setting | None:
    """The setting of these parts; None where two occupy the same part of the model."""
    on = tuple(part for part in parts if part is not None)
    if any(first.occupies & second.occupies for first, second in combinations(on, 2)):
        return None
    return Setting(accelerators=tuple(sorted(on, key=lambda part: part.order)))
