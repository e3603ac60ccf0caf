"""The contract of an accelerator; each other file of this folder is one accelerator.

An accelerator is a frozen dataclass: its fields are its knobs, and an instance is one setting of
it. The class names the parts of the model that it occupies, so that whether two accelerators can
be combined follows without a list of combinations. Its `patch` changes a temporary copy of the
denoiser (a "double", see `tuner.pipelines.double`) for one call of the pipeline.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Self

from tuner.errors import UnfitError, UsageError
from tuner.pipelines.generation import Call, Generation
from tuner.pipelines.graph_part import GraphPart
from tuner.plain_code import PlainCode, Use

Value = int | float


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One parameter of an accelerator that a study may vary."""

    name: str
    values: tuple[Value, ...]  # those that a search tries
    low: Value  # the smallest value that the accelerator accepts
    high: Value  # the largest value that it accepts
    off: Value | None  # of an accelerator's first knob: the value that stands for "off"
    # Whether a higher value is less aggressive: it changes the picture less and saves less time.
    # Of other knobs a lower value is less aggressive.
    gentler_when_higher: bool
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
    """Make a dataclass field that is a knob; see `Knob` for the arguments."""
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
    """Base of all accelerators; the fields of a subclass are its knobs."""

    name: ClassVar[str]
    paper: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()  # published packages that compute it, beside diffusers
    # Parts of the model that it modifies; accelerators that share a part cannot be combined.
    occupies: ClassVar[frozenset[str]]
    order: ClassVar[int]  # accelerators are applied and listed in this order
    known_good: ClassVar[tuple[dict[str, Value], ...]]  # settings from the papers
    neutral: ClassVar[dict[str, Value]]  # a setting that computes what the baseline computes

    def __post_init__(self) -> None:
        """Check the values of the knobs.

        Raises:
            UsageError: a value is no number, out of range, or not whole where it has to be.
        """
        for knob in self.knobs():
            value = getattr(self, knob.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"{self.name}.{knob.name} must be a number, not {value!r}")
            if not knob.low <= value <= knob.high:
                raise UsageError(
                    f"{self.name}.{knob.name} = {value} is outside {knob.low} … {knob.high}"
                )
            if all(isinstance(v, int) for v in knob.values) and value != int(value):
                raise UsageError(f"{self.name}.{knob.name} must be a whole number, not {value}")

    @classmethod
    def knobs(cls) -> tuple[Knob, ...]:
        """The knobs in the order of the fields."""
        return _knobs_of(cls)

    @classmethod
    def from_values(cls, values: dict[str, Value]) -> Self:
        """An instance from knob → value.

        Raises:
            UsageError: a knob is missing or unknown, or a value is wrong; the message names it.
        """
        names = [knob.name for knob in cls.knobs()]
        for name in values:
            if name not in names:
                raise UsageError(f"unknown knob {cls.name}.{name}; known: {', '.join(names)}")
        for name in names:
            if name not in values:
                raise UsageError(
                    f"{cls.name} has no value for {name}; its knobs: {', '.join(names)}"
                )
        return cls(**values)

    def values(self) -> dict[str, Value]:
        """Knob → value, as `search_params.json` stores it."""
        return {knob.name: getattr(self, knob.name) for knob in self.knobs()}

    def full_steps(self) -> frozenset[int]:
        """Steps at which the other accelerators must not reuse anything from earlier steps."""
        return frozenset()

    @abstractmethod
    def plan(self, plan: Any) -> None:
        """Enter into a `tuner.plans.plan.Plan` what this setting computes at each step."""

    @classmethod
    @abstractmethod
    def check(cls, pipeline: Any) -> None:
        """Check that this accelerator fits the pipeline.

        Raises:
            UnfitError: it does not; the message is one line.
        """

    def slow_because(self, pipeline: Any) -> str | None:
        """Why this is unlikely to be faster on this pipeline; None if no reason is known."""
        return None

    def check_call(  # noqa: B027 - most accelerators accept any call
        self, pipeline: Any, arguments: dict[str, Any]
    ) -> None:
        """Check the arguments of a call before it starts.

        Raises:
            UnfitError: the accelerator does not work with them.
        """

    def check_pass(self, generation: Generation) -> None:  # noqa: B027 - most accept any pass
        """Check the inputs of a denoiser pass of the running call.

        Raises:
            UnfitError: the accelerator does not work with them.
        """

    def plain_code(self, use: Use) -> PlainCode:
        """Python that draws the same pictures, bit for bit, with the published packages alone.

        Raises:
            UnfitError: the packages alone would draw other pictures; the message says why.
        """
        raise UnfitError(f"{self.name} has no equivalent in a published package")

    @abstractmethod
    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Patch the denoiser of a pipeline for one call.

        The denoiser is a double, made for this call: it shares its weights with the user's denoiser
        and is discarded after the call, so patches need not be undone. All other parts of the
        pipeline are the user's own and must not be changed.

        Returns:
            A function that drops what the patches stored during a generation.
        """

    def graph_part(self, pipeline: Any, generation: Generation, call: Call) -> GraphPart:
        """What this does in the passes of one call, if the pipeline's denoiser is compiled.

        It must draw the same pictures as `patch`, within what compiling changes. An accelerator
        that does not override this runs uncompiled.
        """
        raise NotImplementedError


@cache
def _knobs_of(kind: type[Accelerator]) -> tuple[Knob, ...]:
    """Kept, because a report or a sweep reads thousands of settings."""
    return tuple(_knob_of(field) for field in fields(kind))


def _knob_of(field: Field[Any]) -> Knob:
    assert field.default is MISSING, "a knob has no default: a setting names every value"
    return Knob(name=field.name, **field.metadata)
