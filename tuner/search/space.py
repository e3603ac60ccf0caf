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


def _unchanged(setting: Setting) -> Setting:
    return setting


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a study may try: for each accelerator its knobs and their values, "off" included.

    Settings are compared by what they compute: `canonical` returns the same setting for all
    settings of the same computation. That canonical form may have values that this space does not
    offer, where it offers another setting of the same computation (`equivalent`).
    """

    parts: tuple[tuple[type[Accelerator], tuple[tuple[Knob, tuple[Value, ...]], ...]], ...]
    all_on: bool = False  # then "off" is no value
    canonical: Canonical = _unchanged

    @classmethod
    def of(cls, spec: StudySpec, canonical: Canonical = _unchanged) -> "Space":
        """The space of a study."""
        parts = []
        for accelerator in spec.accelerators:
            values = spec.values(accelerator)
            parts.append((accelerator, tuple((k, values[k.name]) for k in accelerator.knobs())))
        return cls(parts=tuple(parts), all_on=spec.sweep is not None, canonical=canonical)

    def distributions(self) -> dict[str, FloatDistribution | IntDistribution]:
        """Optuna's distribution of each number, by its name: 'deepcache.cache_interval'."""
        return {name: _distribution(values, whole) for name, values, whole in self._numbers()}

    def suggest(self, trial: BaseTrial) -> Setting:
        """Draw every number from a trial; returns the setting that they encode.

        A study keeps one kind of distribution for each number, so where the offered values leave
        gaps, what the sampler draws is moved to the nearest one.
        """
        flat: dict[str, Value] = {}
        for name, values, whole in self._numbers():
            distribution = _distribution(values, whole)
            number: Value
            if isinstance(distribution, IntDistribution):
                number = trial.suggest_int(
                    name, distribution.low, distribution.high, step=distribution.step
                )
            else:
                number = trial.suggest_float(
                    name, distribution.low, distribution.high, step=distribution.step
                )
            flat[name] = _nearest(values, number)
        return self.setting(flat)

    def offered(self) -> dict[str, tuple[Value, ...]]:
        """The values of each number in ascending order, "off" included."""
        return {name: values for name, values, _ in self._numbers()}

    def _numbers(self) -> list[tuple[str, tuple[Value, ...], bool]]:
        """Each number's name, its values in ascending order, and whether it is an integer."""
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
        """The setting that flat numbers encode, without the accelerators that are off.

        Where two accelerators occupy the same part of the model, only the first one is on.
        """
        params = {}
        occupied: frozenset[str] = frozenset()
        for accelerator, knobs in self.parts:
            first = knobs[0][0]
            off = flat[f"{accelerator.name}.{first.name}"] == first.off
            if not off and not accelerator.occupies & occupied:
                occupied |= accelerator.occupies
                params[accelerator.name] = {
                    knob.name: flat[f"{accelerator.name}.{knob.name}"] for knob, _ in knobs
                }
        return Setting.of(params)

    def flat(self, setting: Setting) -> dict[str, Value]:
        """The numbers that encode a setting; knobs of an accelerator that is off get their first.

        For a setting that this space does not hold they are the nearest that it offers.
        """
        on = (self.equivalent(setting) or setting).params
        offered = self.offered()
        flat: dict[str, Value] = {}
        for accelerator, knobs in self.parts:
            for index, (knob, values) in enumerate(knobs):
                name = f"{accelerator.name}.{knob.name}"
                value = on.get(accelerator.name, {}).get(knob.name)
                if value is None:
                    value = knob.off if index == 0 and knob.off is not None else values[0]
                flat[name] = _nearest(offered[name], value)
        return flat

    def known_good(self) -> list[Setting]:
        """Settings from the papers, alone and combined, as far as they lie in this space.

        None computes the same as another one, or as the baseline.
        """
        alone = [
            [part for part in map(kind.from_values, kind.known_good) if self._is_useful(part)]
            for kind, _ in self.parts
        ]
        settings = []
        for count in range(1, len(alone) + 1):
            for chosen in combinations([parts[0] for parts in alone if parts], count):
                if all(not a.occupies & b.occupies for a, b in combinations(chosen, 2)):
                    settings.append(Setting(accelerators=chosen))
        settings += [Setting(accelerators=(part,)) for parts in alone for part in parts[1:]]
        by_computation: dict[Setting, Setting] = {}
        for setting in settings:
            by_computation.setdefault(self.canonical(setting), setting)
        return list(by_computation.values())

    def _is_useful(self, part: Accelerator) -> bool:
        """Whether an accelerator's values are offered, and compute other than the baseline."""
        setting = Setting(accelerators=(part,))
        return self._offers(setting) and bool(self.canonical(setting).accelerators)

    def check_something_to_try(self, steps: int) -> None:
        """Raise `UsageError` where every setting computes what the baseline computes."""
        settings = (
            Setting(accelerators=(part,)) for kind, _ in self.parts for part in self.variants(kind)
        )
        if not any(self.canonical(setting).accelerators for setting in settings):
            names = " and ".join(kind.name for kind, _ in self.parts)
            raise UsageError(
                f"nothing to try: with steps = {steps} every value of {names} on this model "
                "computes what the baseline computes; give more steps, other search_targets or "
                "other knobs",
                key=("steps",),
            )

    def holds(self, setting: Setting) -> bool:
        """Whether this space has the setting, or another one of the same computation."""
        return self.equivalent(setting) is not None

    def equivalent(self, setting: Setting) -> Setting | None:
        """The setting of this space that is the same computation; None where there is none."""
        if self._offers(setting):
            return setting
        wanted = self.canonical(setting)
        choices = [self._same_alone.get(self._alone(part), []) for part in wanted.accelerators]
        for parts in product(*choices):
            candidate = Setting(accelerators=parts)
            if self.canonical(candidate) == wanted:
                return candidate
        return None

    def variants(self, kind: type[Accelerator]) -> Iterator[Accelerator]:
        """An accelerator with every combination of its values, without "off"."""
        ((_, knobs),) = [part for part in self.parts if part[0] is kind]
        for values in product(*(offered for _, offered in knobs)):
            yield kind.from_values({k.name: v for (k, _), v in zip(knobs, values, strict=True)})

    @cached_property
    def _same_alone(self) -> dict[tuple[type[Accelerator], Setting], list[Accelerator]]:
        """By accelerator and canonical form, what computes the same without other accelerators."""
        same: dict[tuple[type[Accelerator], Setting], list[Accelerator]] = {}
        for kind, _ in self.parts:
            for part in self.variants(kind):
                same.setdefault(self._alone(part), []).append(part)
        return same

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
