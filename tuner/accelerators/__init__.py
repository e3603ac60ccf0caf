"""The contract of an accelerator; each file beside this one is one.

An accelerator is a frozen dataclass: its fields are its knobs, an instance is one setting of it.
It says what it occupies in the model, so that combinations are allowed or refused without lists
of names, and `patch` patches a pipeline's double for the length of one call.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, Self

from tuner.errors import UsageError
from tuner.pipelines.generation import Call, Generation

Value = int | float


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One number of an accelerator that a study may vary."""

    name: str
    values: tuple[Value, ...]  # what a search tries
    low: Value  # the least value that the accelerator accepts
    high: Value
    off: Value | None  # on an accelerator's first knob: the value that stands for "off"
    gentler_when_higher: bool  # more of it drifts less and saves less; of other knobs less does
    help: str


def knob(
    values: tuple[Value, ...],
    *,
    low: Value,
    high: Value,
    help: str,
    off: Value | None = None,
    gentler_when_higher: bool = False,
) -> Any:
    """A dataclass field that is a knob; see `Knob` for the arguments."""
    return field(
        metadata={
            "values": values,
            "low": low,
            "high": high,
            "off": off,
            "gentler_when_higher": gentler_when_higher,
            "help": help,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Accelerator(ABC):
    """Base of all accelerators; a subclass names its knobs as fields."""

    name: ClassVar[str]
    paper: ClassVar[str]
    occupies: ClassVar[frozenset[str]]  # two accelerators must not occupy the same part
    order: ClassVar[int]  # where it stands when several are applied and in every list
    known_good: ClassVar[tuple[dict[str, Value], ...]]  # settings from the papers
    neutral: ClassVar[dict[str, Value]]  # applied, but computes what the baseline computes

    def __post_init__(self) -> None:
        """Refuse values that the accelerator could not work with."""
        for one in self.knobs():
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"{self.name}.{one.name} must be a number, not {value!r}")
            if not one.low <= value <= one.high:
                raise UsageError(
                    f"{self.name}.{one.name} = {value} is outside {one.low} … {one.high}"
                )
            if all(isinstance(v, int) for v in one.values) and value != int(value):
                raise UsageError(f"{self.name}.{one.name} must be a whole number, not {value}")

    @classmethod
    def knobs(cls) -> tuple[Knob, ...]:
        """The knobs in the order of the fields."""
        return tuple(_knob_of(one) for one in fields(cls))

    @classmethod
    def from_values(cls, values: dict[str, Value]) -> Self:
        """An instance from knob values; a `UsageError` says which are missing or unknown."""
        names = [one.name for one in cls.knobs()]
        for name in values:
            if name not in names:
                raise UsageError(f"unknown knob {cls.name}.{name}; known: {', '.join(names)}")
        for name in names:
            if name not in values:
                raise UsageError(f"{cls.name} lacks the knob {name}; it has: {', '.join(names)}")
        return cls(**values)

    def values(self) -> dict[str, Value]:
        """Knob names and values, as `search_params.json` writes them."""
        return {one.name: getattr(self, one.name) for one in self.knobs()}

    def full_steps(self) -> frozenset[int]:
        """Steps at which every other accelerator must compute its features afresh."""
        return frozenset()

    @abstractmethod
    def plan(self, plan: Any) -> None:
        """Write into a `tuner.plans.plan.Plan` what this setting computes at each step."""

    @classmethod
    @abstractmethod
    def check(cls, pipeline: Any) -> None:
        """Raise `UnfitError`, in one line, where this accelerator does not fit the pipeline."""

    def slow_because(self, pipeline: Any) -> str | None:
        """Why this may not be faster on this pipeline, where that is known."""
        return None

    def check_call(  # noqa: B027 - most accept any call
        self, pipeline: Any, arguments: dict[str, Any]
    ) -> None:
        """Raise `UnfitError` where the arguments of a call do not fit this accelerator."""

    def check_pass(self, generation: Generation) -> None:  # noqa: B027 - most accept any pass
        """Raise `UnfitError` where the running call gives the denoiser what does not fit."""

    @abstractmethod
    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Patch a pipeline's double; gives back a function that forgets what a generation left.

        The denoiser of this pipeline is there for one call, with the weights of the user's, and is
        thrown away afterwards: there is nothing to undo. What is not the denoiser is the user's.
        """


def _knob_of(one: Field[Any]) -> Knob:
    assert one.default is MISSING, "a knob has no default: a setting names every value"
    return Knob(name=one.name, **one.metadata)
