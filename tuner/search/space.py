"""The flat space of a study: one number for each knob, and "off" is a value of each first knob."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise, product

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from tuner.accelerators import Accelerator, Knob, Value
from tuner.canonical import Canonical
from tuner.errors import UsageError
from tuner.setting import Setting
from tuner.spec import StudySpec


def _as_it_is(setting: Setting) -> Setting:
    return setting


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a study may try: for each accelerator its knobs and their values, "off" included.

    A setting is known by what it computes, which `canonical` tells: its canonical form may have
    values that this space does not offer, where another setting of it is the same computation.
    """

    parts: tuple[tuple[type[Accelerator], tuple[tuple[Knob, tuple[Value, ...]], ...]], ...]
    all_on: bool = False  # then "off" is no value
    canonical: Canonical = _as_it_is

    @classmethod
    def of(cls, spec: StudySpec, canonical: Canonical = _as_it_is) -> "Space":
        """The space that a study asks for."""
        parts = []
        for accelerator in spec.accelerators:
            values = spec.values(accelerator)
            parts.append((accelerator, tuple((k, values[k.name]) for k in accelerator.knobs())))
        return cls(parts=tuple(parts), all_on=spec.sweep is not None, canonical=canonical)

    def distributions(self) -> dict[str, FloatDistribution | IntDistribution]:
        """The flat encoding: 'deepcache.cache_interval' and so on."""
        return {name: _distribution(values, whole) for name, values, whole in self._offered()}

    def suggest(self, trial: BaseTrial) -> Setting:
        """Ask a trial for every number; the setting that they stand for.

        A study keeps one kind of distribution for each number, so where the offered values leave
        gaps, what the sampler names is moved to the nearest one.
        """
        flat: dict[str, Value] = {}
        for name, values, whole in self._offered():
            asked = _distribution(values, whole)
            number: Value
            if isinstance(asked, IntDistribution):
                number = trial.suggest_int(name, asked.low, asked.high, step=asked.step)
            else:
                number = trial.suggest_float(name, asked.low, asked.high, step=asked.step)
            flat[name] = _nearest(values, number)
        return self.setting(flat)

    def offered(self) -> dict[str, tuple[Value, ...]]:
        """Every value of each number, "off" included, in order."""
        return {name: values for name, values, _ in self._offered()}

    def _offered(self) -> list[tuple[str, tuple[Value, ...], bool]]:
        """Each number's name, every value of it, "off" included, and whether it is whole."""
        return [
            (
                f"{accelerator.name}.{knob.name}",
                tuple(sorted({*values, *self._off(knob)})),
                all(isinstance(value, int) for value in knob.values),
            )
            for accelerator, knobs in self.parts
            for knob, values in knobs
        ]

    def _off(self, knob: Knob) -> tuple[Value, ...]:
        return () if knob.off is None or self.all_on else (knob.off,)

    def setting(self, flat: Mapping[str, Value]) -> Setting:
        """The setting that flat numbers stand for; accelerators that are off are left out.

        So is one whose part of the model an earlier one has taken.
        """
        params = {}
        taken: frozenset[str] = frozenset()
        for accelerator, knobs in self.parts:
            first = knobs[0][0]
            off = flat[f"{accelerator.name}.{first.name}"] == first.off
            if not off and not accelerator.occupies & taken:
                taken |= accelerator.occupies
                params[accelerator.name] = {
                    knob.name: flat[f"{accelerator.name}.{knob.name}"] for knob, _ in knobs
                }
        return Setting.of(params)

    def flat(self, setting: Setting) -> dict[str, Value]:
        """The numbers of a setting; knobs of an accelerator that is off get their first value.

        Of what this space does not hold they are the nearest that it offers.
        """
        on = (self.own(setting) or setting).params
        offered = self.offered()
        found: dict[str, Value] = {}
        for accelerator, knobs in self.parts:
            for index, (knob, values) in enumerate(knobs):
                name = f"{accelerator.name}.{knob.name}"
                chosen = on.get(accelerator.name, {}).get(knob.name)
                if chosen is None:
                    chosen = knob.off if index == 0 and knob.off is not None else values[0]
                found[name] = _nearest(offered[name], chosen)
        return found

    def known_good(self) -> list[Setting]:
        """Settings from the papers, alone and together, as far as they lie in this space.

        None computes what the baseline computes here, nor what another one does.
        """
        alone = [
            [one for one in map(kind.from_values, kind.known_good) if self._is_worth(one)]
            for kind, _ in self.parts
        ]
        found = []
        for count in range(1, len(alone) + 1):
            for chosen in combinations([parts[0] for parts in alone if parts], count):
                if all(not a.occupies & b.occupies for a, b in combinations(chosen, 2)):
                    found.append(Setting(accelerators=chosen))
        found += [Setting(accelerators=(one,)) for parts in alone for one in parts[1:]]
        by_computation: dict[Setting, Setting] = {}
        for setting in found:
            by_computation.setdefault(self.canonical(setting), setting)
        return list(by_computation.values())

    def _is_worth(self, part: Accelerator) -> bool:
        """Whether an accelerator's setting is offered and computes something of its own."""
        setting = Setting(accelerators=(part,))
        return self._offers(setting) and bool(self.canonical(setting).accelerators)

    def check_something_to_try(self, steps: int) -> None:
        """Raise `UsageError` where every setting computes what the baseline computes."""
        settings = (
            Setting(accelerators=(one,)) for kind, _ in self.parts for one in self.each(kind)
        )
        if not any(self.canonical(setting).accelerators for setting in settings):
            names = " and ".join(kind.name for kind, _ in self.parts)
            raise UsageError(
                f"nothing to try: with steps = {steps} every value of {names} on this model "
                "computes what the baseline computes; give more steps, other search_targets or "
                "other knobs"
            )

    def holds(self, setting: Setting) -> bool:
        """Whether this space has the setting, or one that is the same computation."""
        return self.own(setting) is not None

    def own(self, setting: Setting) -> Setting | None:
        """The setting of this space that is the same computation; None where there is none."""
        if self._offers(setting):
            return setting
        wanted = self.canonical(setting)
        alike = [self._alike.get(self._alone(part), []) for part in wanted.accelerators]
        for parts in product(*alike):
            found = Setting(accelerators=parts)
            if self.canonical(found) == wanted:
                return found
        return None

    def each(self, kind: type[Accelerator]) -> Iterator[Accelerator]:
        """An accelerator with every choice of its values, "off" left out."""
        ((_, knobs),) = [part for part in self.parts if part[0] is kind]
        for values in product(*(offered for _, offered in knobs)):
            yield kind.from_values({k.name: v for (k, _), v in zip(knobs, values, strict=True)})

    @cached_property
    def _alike(self) -> dict[tuple[type[Accelerator], Setting], list[Accelerator]]:
        """What computes the same alone, for each accelerator."""
        found: dict[tuple[type[Accelerator], Setting], list[Accelerator]] = {}
        for kind, _ in self.parts:
            for part in self.each(kind):
                found.setdefault(self._alone(part), []).append(part)
        return found

    def _alone(self, part: Accelerator) -> tuple[type[Accelerator], Setting]:
        return type(part), self.canonical(Setting(accelerators=(part,)))

    def _offers(self, setting: Setting) -> bool:
        """Whether every value of the setting is among those of this space."""
        allowed = {a.name: {k.name: values for k, values in knobs} for a, knobs in self.parts}
        return all(
            value in allowed.get(name, {}).get(knob, ())
            for name, values in setting.params.items()
            for knob, value in values.items()
        )


def _nearest(values: tuple[Value, ...], number: Value) -> Value:
    return min(values, key=lambda value: abs(value - number))


def _distribution(values: tuple[Value, ...], whole: bool) -> FloatDistribution | IntDistribution:
    steps = {round(b - a, 6) for a, b in pairwise(values)}
    even = steps.pop() if len(steps) == 1 else None
    if whole:
        return IntDistribution(int(values[0]), int(values[-1]), step=int(even or 1))
    return FloatDistribution(values[0], values[-1], step=even)
